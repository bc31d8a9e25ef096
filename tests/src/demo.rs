//! The demo: a daemon, a server and 50 busy callers in one temporary directory, and a verdict.
//!
//! It owns the order of the steps. It must never wait without a deadline, nor leave a process or
//! a directory behind. Its neighbours are [`crate::load`], whose view the verdict is given on, and
//! the programs themselves, which it knows only from outside.

mod control;
mod error;
mod place;
mod process;
mod sabotage;
mod verdict;
mod view;

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

pub use error::DemoError;
pub use process::become_guarded;
pub(crate) use process::guarded;
pub use sabotage::Sabotage;
pub use verdict::{Check, Facts, Numbers, Outcome, Rotation, Verdict};
pub use view::Style;

use crate::load::{Ends, Files, Load, Plan};
use control::Control;
use error::Step;
use place::Place;
use process::{Process, Programs};
use sabotage::Planted;
use view::View;

/// Rotations that are forced, and the time from one to the next.
pub const ROTATIONS: usize = 10;
const EVERY: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 50;
const STREAMS: usize = 4;
/// Requests per second over all connections; two slow cores carry it beside everything else.
const RATE: u32 = 1000;
const HANDSHAKE_EVERY: Duration = Duration::from_millis(25);

/// One step's deadline where nothing slower than a small process is waited for.
const SOON: Duration = Duration::from_secs(10);
/// For one rotation: renewal, publishing, and the proof with its own retries.
const ROTATION_DEADLINE: Duration = Duration::from_secs(15);
/// How long the callers may take to meet a leaf that is said to be proven.
const SEEN_DEADLINE: Duration = Duration::from_secs(2);
/// Whatever happens, the demo gives up then, with time left to end everything within a minute.
const OVERALL: Duration = Duration::from_secs(48);

/// How the demo is run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What is planted, if anything.
    pub sabotage: Option<Sabotage>,
    /// How progress is shown.
    pub style: Style,
    /// Leave the directory behind.
    pub keep: bool,
}

/// Runs the demo to its verdict.
///
/// # Errors
///
/// When a program is missing, dies, or does not do in time what was waited for; and when the
/// demo is interrupted. Whatever was started has ended by then.
pub async fn run(settings: Settings) -> Result<Verdict, DemoError> {
    let step = Step::new("begin");
    let programs = Programs::beside_this_one()?;
    let place = Place::make(settings.keep)?;
    let mut stage = Stage {
        settings,
        programs,
        place,
        step: step.clone(),
        daemon: None,
        api: None,
    };
    let outcome = tokio::select! {
        biased;
        signal = interrupted() => Err(DemoError::Interrupted(signal)),
        () = tokio::time::sleep(OVERALL) => {
            Err(DemoError::Late { what: step.now().to_owned(), after: OVERALL })
        }
        outcome = stage.play() => outcome,
    };
    match &outcome {
        Err(DemoError::Interrupted(_)) => {}
        // A planted fault is known; the logs would only hide the verdict on it.
        Ok(verdict) if verdict.green() || settings.sabotage.is_some() => {}
        Ok(_) | Err(_) => stage.print_logs(),
    }
    stage.clear().await;
    outcome
}

/// Everything that runs, and where.
struct Stage {
    settings: Settings,
    programs: Programs,
    place: Place,
    step: Step,
    daemon: Option<Process>,
    api: Option<Process>,
}

impl Stage {
    /// From the first start to the verdict; what it started is ended by [`Stage::clear`].
    async fn play(&mut self) -> Result<Verdict, DemoError> {
        let control = Control::new(&self.programs, &self.place);
        self.start_daemon(&control).await?;
        let planted = Planted::before_start(self.settings.sabotage, &self.place)?;
        self.start_api(planted.certificate()).await?;

        self.step.set("proof of the first certificate");
        let first = control.until_served("api", SOON).await?;

        self.step.set("connections of the load client");
        let combined = self.place.published("client").join("combined.pem");
        let load = Load::start(&Plan {
            url: self.place.url(),
            files: Files {
                ca: self.place.published("client").join("ca.pem"),
                certificate: combined.clone(),
                key: combined,
            },
            connections: CONNECTIONS,
            streams: STREAMS,
            rate: RATE,
            stream_seconds: 1,
            handshake_every: HANDSHAKE_EVERY,
            ends: Ends::AreLosses,
        })?;
        load.ready(SOON).await?;

        let mut view = View::start(self.settings.style, load.tally(), &first);
        let mut rotations = Vec::new();
        let mut before = first;
        let begun = Instant::now();
        for number in 1..=ROTATIONS {
            let due = begun + EVERY * u32::try_from(number - 1).unwrap_or(u32::MAX) + EVERY / 2;
            tokio::time::sleep_until(due.into()).await;
            self.step.set("rotation");
            if planted.drops_at(number) {
                self.restart_api_abruptly(planted.certificate()).await?;
            }
            let rotation = rotate(number, &control, &load, &mut before).await?;
            view.rotation(&rotation);
            let hopeless = !rotation.proven || !load.tally().unharmed();
            rotations.push(rotation);
            self.still_running()?;
            // What is red by now stays red; more rotations would only hide the reason.
            if hopeless {
                break;
            }
        }
        tokio::time::sleep(EVERY / 2).await;

        self.step.set("end of the load");
        let report = load.stop().await;
        view.end();
        self.still_running()?;
        Ok(Verdict::of(&Facts { rotations, report }))
    }

    async fn start_daemon(&mut self, control: &Control) -> Result<(), DemoError> {
        self.step.set("first certificates");
        let daemon = self.daemon.insert(Process::start(
            "renewd",
            &self.programs.renewd,
            &self.place.daemon_arguments(),
            &self.place,
        )?);
        let end = Instant::now() + SOON;
        for name in ["api", "client"] {
            control.until_published(name, end, daemon).await?;
        }
        Ok(())
    }

    async fn start_api(&mut self, certificate: &std::path::Path) -> Result<(), DemoError> {
        self.step.set("health of the sample API");
        let config = self.place.write_api_config(certificate)?;
        let arguments = ["serve".into(), "--config".into(), config.into_os_string()];
        let program = &self.programs.sample_api;
        let api = Process::start("renewd-sample-api", program, &arguments, &self.place)?;
        let api = self.api.insert(api);
        control::until_healthy(self.place.health(), SOON, api).await
    }

    async fn restart_api_abruptly(&mut self, at: &std::path::Path) -> Result<(), DemoError> {
        if let Some(mut api) = self.api.take() {
            api.kill().await;
        }
        self.start_api(at).await
    }

    fn still_running(&mut self) -> Result<(), DemoError> {
        [&mut self.daemon, &mut self.api]
            .into_iter()
            .flatten()
            .try_for_each(Process::check)
    }

    fn print_logs(&self) {
        for process in [&self.daemon, &self.api].into_iter().flatten() {
            eprintln!(
                "--- the end of {}'s log:\n{}",
                process.name(),
                process.log_tail()
            );
        }
    }

    /// Ends what runs, in the order of dependence, and removes the directory.
    async fn clear(mut self) {
        for mut process in [self.api.take(), self.daemon.take()].into_iter().flatten() {
            if !process.stop().await {
                eprintln!(
                    "{} did not end when told to, and was killed",
                    process.name()
                );
            }
        }
        if let Some(kept) = self.place.leave() {
            eprintln!("kept: {}", kept.display());
        }
    }
}

/// Forces one rotation, and looks at it from both sides: what renewd says, and what callers see.
async fn rotate(
    number: usize,
    control: &Control,
    load: &Load,
    before: &mut control::Certificate,
) -> Result<Rotation, DemoError> {
    let tally = load.tally();
    let began = Instant::now();
    let (renewed, after, took) = {
        let _window = tally.rotating();
        let renewed = control.renew("api", ROTATION_DEADLINE).await?;
        let took = began.elapsed();
        (renewed, control.status("api").await?, took)
    };
    let complaints = [renewed.err(), after.complaint(before)];
    let complaints: Vec<String> = complaints.into_iter().flatten().collect();
    let complaint = (!complaints.is_empty()).then(|| complaints.join("; "));
    let seen = match complaint {
        None => load.fresh_leaf(Instant::now(), SEEN_DEADLINE).await,
        Some(_) => None,
    };
    let rotation = Rotation {
        number,
        generation: after.generation,
        serial: after.serial.clone(),
        rose: after.generation > before.generation,
        proven: complaint.is_none(),
        complaint,
        took,
        seen_after: seen
            .filter(|leaf| after.has_serial(&leaf.serial))
            .map(|leaf| leaf.first_seen.saturating_duration_since(began)),
    };
    *before = after;
    Ok(rotation)
}

async fn interrupted() -> &'static str {
    let wait = |kind, name| async move {
        match signal(kind) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        };
        name
    };
    tokio::select! {
        name = wait(SignalKind::interrupt(), "SIGINT") => name,
        name = wait(SignalKind::terminate(), "SIGTERM") => name,
        name = wait(SignalKind::hangup(), "SIGHUP") => name,
    }
}
