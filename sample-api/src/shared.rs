//! The faces that are met at one listener.
//!
//! Owns: which of them a client means, by the names of the certificates that are in use at that moment, and which
//! requests came to the wrong one.
//! Never does: shake hands or answer. Neighbours: [`crate::connection`] asks for the face, [`crate::access`] about requests.
//!
//! A listener of one face alone asks nothing of this: no client is kept waiting for a choice that there is not.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::{HeaderMap, Uri, header};
use futures_util::future::select_all;

use crate::events::tell;
use crate::faces::Face;
use crate::mtls::MutualTls;
use crate::names::Fit;

/// One or more; the first is for clients that name none of them.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<[Face]>);

impl Shared {
    /// Of `first` and `others`, in the order in which they are listed.
    pub(crate) fn new(first: Face, others: impl IntoIterator<Item = Face>) -> Self {
        Self([first].into_iter().chain(others).collect())
    }

    pub(crate) fn faces(&self) -> &[Face] {
        &self.0
    }

    pub(crate) fn first(&self) -> &Arc<MutualTls> {
        &self.0[0].mtls
    }

    /// True where there is nothing to choose.
    pub(crate) fn is_one(&self) -> bool {
        self.0.len() == 1
    }

    /// The face that a client means by the server name in its first message.
    pub(crate) fn choose(&self, name: Option<&str>) -> &Arc<MutualTls> {
        let place = name.and_then(|name| self.place(name)).unwrap_or(0);
        &self.0[place].mtls
    }

    /// A name as it is goes before a wildcard; of equals, the face that is listed first.
    fn place(&self, name: &str) -> Option<usize> {
        let mut best: Option<(Fit, usize)> = None;
        for (place, face) in self.0.iter().enumerate() {
            let fit = face.mtls.keys().served().names.fit(name);
            if let Some(fit) = fit.filter(|fit| best.is_none_or(|(other, _)| *fit > other)) {
                best = Some((fit, place));
            }
        }
        best.map(|(_, place)| place)
    }

    /// Whether a request on a connection of `own` is for another face: its host is a name of that one (RFC 9110, section
    /// 7.4). A host that is no face's name is nobody else's. Whatever stands in for the host is looked at, because nobody
    /// knows which of them the application believes.
    pub(crate) fn misdirected(&self, own: &MutualTls, uri: &Uri, headers: &HeaderMap) -> bool {
        let hosts = headers.get_all(header::HOST).iter();
        let hosts = hosts
            .filter_map(|host| host.to_str().ok())
            .map(without_port);
        uri.host().into_iter().chain(hosts).any(|host| {
            self.place(host)
                .is_some_and(|place| !std::ptr::eq(&*self.0[place].mtls, own))
        })
    }

    /// Says which faces nobody can mean, when that changes, for ever.
    pub(crate) async fn tell_hidden(self) {
        let mut changes: Vec<_> = self
            .0
            .iter()
            .map(|face| face.mtls.keys().subscribe())
            .collect();
        let mut told = BTreeSet::new();
        loop {
            let hidden: BTreeSet<_> = (1..self.0.len())
                .filter(|place| self.hidden(*place))
                .collect();
            for place in hidden.difference(&told) {
                tell!(
                    FACE_HIDDEN,
                    face = self.0[*place].name,
                    "no server name leads to this face: its certificate has no DNS name that is not one of a face listed before it"
                );
            }
            for place in told.difference(&hidden) {
                tell!(
                    FACE_REACHED,
                    face = self.0[*place].name,
                    "a server name leads to this face again"
                );
            }
            told = hidden;
            let (changed, ..) =
                select_all(changes.iter_mut().map(|face| Box::pin(face.changed()))).await;
            if changed.is_err() {
                return;
            }
        }
    }

    fn hidden(&self, place: usize) -> bool {
        let served = self.0[place].mtls.keys().served();
        served
            .names
            .examples()
            .all(|name| self.place(&name) != Some(place))
    }
}

/// The host of a `Host` header; an address in brackets is nobody's name, with or without its port.
fn without_port(host: &str) -> &str {
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
