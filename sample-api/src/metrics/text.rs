//! The text that a scraper reads.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering::Relaxed;

use super::{BOUNDS, Counters, Handshake, Histogram, Metrics, Part, Reason, Reload, Stall};

/// What is asked of the server at the moment of the scrape.
#[derive(Debug, Clone)]
pub struct Gauges {
    /// The generation in use.
    pub generation: u64,
    /// The serial of its leaf.
    pub serial: String,
    /// The leaf's end, in seconds since 1970.
    pub not_after: f64,
    /// The earliest end of a revocation list, if there are lists.
    pub lists_until: Option<f64>,
    /// Likewise of the OCSP response, if one is sent.
    pub staple_until: Option<f64>,
    /// Whether new clients can be served.
    pub ready: bool,
    /// Whether a policy decides; without one, whoever has an identity may do everything.
    pub policy: bool,
    /// Whether the last reload (of anything) was refused.
    pub refused: bool,
    /// Connections that are being served.
    pub open: usize,
    /// Connections that were told to end.
    pub draining: usize,
    /// Of the open ones, those over HTTP/1.1 that have had nothing to do for a while.
    pub resting: usize,
    /// Connections whose handshake is under way.
    pub handshaking: usize,
    /// Of the application behind us, if there is one: requests that it answered, those that it did not, and whether it
    /// answered the last one.
    pub upstream: Option<(u64, u64, bool)>,
}

/// OpenMetrics 1.0 text.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// The media type.
    pub const TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Everything, with the end mark.
    pub fn of(metrics: &Metrics, now: &Gauges) -> String {
        let mut text = Self::default();
        text.certificate(now);
        text.connections(metrics, now);
        text.requests(metrics);
        text.reloads(metrics, now);
        if let Some((answered, failed, up)) = now.upstream {
            text.family(
                "sample_api_upstream_requests",
                "counter",
                "Requests passed on, by whether they were answered",
            );
            for (result, count) in [("answered", answered), ("failed", failed)] {
                text.sample(
                    "sample_api_upstream_requests_total",
                    &[("result", result)],
                    count,
                );
            }
            text.gauge(
                "sample_api_upstream_up",
                "1 if the application answered the last request",
                u8::from(up),
            );
        }
        text.0.push_str("# EOF\n");
        text.0
    }

    fn certificate(&mut self, now: &Gauges) {
        self.family("sample_api_certificate", "info", "The certificate in use");
        let (generation, serial) = (now.generation.to_string(), now.serial.as_str());
        self.sample(
            "sample_api_certificate_info",
            &[("generation", &generation), ("serial", serial)],
            1,
        );
        self.gauge(
            "sample_api_certificate_not_after_seconds",
            "The end of the certificate in use, since 1970",
            now.not_after,
        );
        if let Some(until) = now.lists_until {
            self.gauge(
                "sample_api_crl_next_update_seconds",
                "The earliest end of a revocation list, since 1970",
                until,
            );
        }
        if let Some(until) = now.staple_until {
            self.gauge(
                "sample_api_ocsp_next_update_seconds",
                "The end of the OCSP response that is sent, since 1970",
                until,
            );
        }
        self.gauge(
            "sample_api_ready",
            "1 if new clients can be served",
            u8::from(now.ready),
        );
        self.gauge(
            "sample_api_policy_enforced",
            "0 if everybody with an identity may do everything",
            u8::from(now.policy),
        );
    }

    fn connections(&mut self, metrics: &Metrics, now: &Gauges) {
        self.family(
            "sample_api_handshakes",
            "counter",
            "TLS handshakes, by how they ended",
        );
        self.counters(
            "sample_api_handshakes_total",
            "result",
            &metrics.handshakes,
            Handshake::ALL.iter().map(|one| one.word()),
        );
        self.histogram(
            "sample_api_handshake_duration_seconds",
            "From accept to the end of handshakes that succeeded",
            &metrics.handshake_durations,
        );
        self.family("sample_api_connections", "gauge", "Connections, by state");
        for (state, count) in [
            ("handshake", now.handshaking),
            ("open", now.open),
            ("draining", now.draining),
        ] {
            self.sample("sample_api_connections", &[("state", state)], count);
        }
        self.gauge(
            "sample_api_resting_connections",
            "Of the open ones, those over HTTP/1.1 that have nothing to do",
            now.resting,
        );
        let reasons = || Reason::ALL.iter().map(|one| one.word());
        self.family(
            "sample_api_drained",
            "counter",
            "Connections that were told to end, by reason",
        );
        self.counters(
            "sample_api_drained_total",
            "reason",
            &metrics.drained,
            reasons(),
        );
        self.family(
            "sample_api_forced",
            "counter",
            "Connections that were cut at the deadline, by reason",
        );
        self.counters(
            "sample_api_forced_total",
            "reason",
            &metrics.forced,
            reasons(),
        );
        self.family(
            "sample_api_stalled",
            "counter",
            "Clients that were not waited for any longer, by what they did not go on with",
        );
        self.counters(
            "sample_api_stalled_total",
            "what",
            &metrics.stalled,
            Stall::ALL.iter().map(|one| one.word()),
        );
        self.counter(
            "sample_api_idle_closed",
            "HTTP/1.1 connections closed while idle, which a request may have crossed",
            metrics.idle_closed.load(Relaxed),
        );
    }

    fn requests(&mut self, metrics: &Metrics) {
        self.family(
            "sample_api_requests",
            "counter",
            "Requests, by role and status code",
        );
        for (role, codes) in metrics.hot.requests() {
            for (code, count) in codes {
                self.sample(
                    "sample_api_requests_total",
                    &[("role", &role), ("code", &code.to_string())],
                    count,
                );
            }
        }
        self.histogram(
            "sample_api_request_duration_seconds",
            "Until the head of the response",
            &metrics.hot.durations(),
        );
        let (received, sent) = metrics.hot.bytes();
        self.counter(
            "sample_api_received_bytes",
            "Bytes received, without TLS",
            received,
        );
        self.counter("sample_api_sent_bytes", "Bytes sent, without TLS", sent);
    }

    fn reloads(&mut self, metrics: &Metrics, now: &Gauges) {
        self.family(
            "sample_api_reloads",
            "counter",
            "Reloads, by part and result",
        );
        for (part, counters) in Part::ALL.iter().zip(&metrics.reloads) {
            for result in Reload::ALL {
                let labels = [("part", part.word()), ("result", result.word())];
                self.sample(
                    "sample_api_reloads_total",
                    &labels,
                    counters.of(*result as usize),
                );
            }
        }
        self.gauge(
            "sample_api_reload_refused",
            "1 if the last reload was refused",
            u8::from(now.refused),
        );
        self.counter(
            "sample_api_trust_changes",
            "Changes of the bundle or the revocation lists",
            metrics.trust_changes.load(Relaxed),
        );
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}.");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(&format!("{name}_total"), &[], value);
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        label: &str,
        counters: &Counters<N>,
        words: impl Iterator<Item = &'static str>,
    ) {
        for (place, word) in words.enumerate() {
            self.sample(name, &[(label, word)], counters.of(place));
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let mut sum = 0;
        let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bucket, bound) in histogram.buckets.iter().zip(bounds) {
            sum += bucket.load(Relaxed);
            self.sample(&format!("{name}_bucket"), &[("le", &bound)], sum);
        }
        // Added up here, so that it never disagrees with the buckets.
        self.sample(&format!("{name}_count"), &[], sum);
        let seconds = histogram.microseconds.load(Relaxed) as f64 / 1e6;
        self.sample(&format!("{name}_sum"), &[], seconds);
    }

    /// The labels are words, hex, numbers and role names: nothing in them needs an escape.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "{name}");
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}
