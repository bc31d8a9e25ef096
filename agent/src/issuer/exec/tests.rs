//! Programs that do what no CA should, under the real kernel: each is a shell script that a test writes.

mod cfssl;
mod check;
mod confined;
mod ends;
mod gate;
mod openssl;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex as SyncMutex};
use std::time::Duration;

use renewd_core::accept::Refusal;
use renewd_core::request::{KeyType, Request, Usages};
use tempfile::TempDir;

use super::*;
use crate::issuer::{Retry, Sent};
use crate::keys::PrivateKey;

/// A directory with a script, and what is around it.
struct World {
    directory: TempDir,
    settings: ExecSettings,
    surroundings: Surroundings,
    key: PrivateKey,
    request: Request,
}

impl World {
    /// `script` is run by `/bin/sh`, with the directory as its argument.
    fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("script"), script).unwrap();
        let text = |path: PathBuf| path.into_os_string().into_string().unwrap();
        let command = ["/bin/sh".to_owned(), text(path("script")), text(path(""))];
        Self {
            settings: ExecSettings {
                program: ProgramSettings {
                    command: command.into(),
                    credentials: Vec::new(),
                    timeout: Duration::from_secs(60),
                    output_limit: 1024 * 1024,
                },
                trust: path("roots.pem"),
            },
            surroundings: Surroundings {
                owner: nix::unistd::geteuid().as_raw(),
                ..Surroundings::default()
            },
            key: PrivateKey::generate(KeyType::EcdsaP256).unwrap(),
            request: Request {
                issuer: "program".parse().unwrap(),
                directory: None,
                names: ["a.example.internal", "*.b.example.internal"]
                    .map(|name| name.parse().unwrap())
                    .into(),
                lifetime: Duration::from_secs(3600),
                key_type: KeyType::EcdsaP256,
                usages: Usages::default(),
            },
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn issuer(&self) -> ExecIssuer {
        ExecIssuer::new(self.settings.clone(), self.surroundings.clone())
    }

    async fn ask(&self, issuer: &ExecIssuer) -> Result<Answer, IssueError> {
        let csr = self.key.request(&self.request).unwrap();
        let order = Order {
            certificate: &"api".parse().unwrap(),
            request: &self.request,
            csr: &csr,
            replaces: None,
            identity: None,
        };
        issuer.issue(order).await
    }

    async fn issue(&self) -> Result<Answer, IssueError> {
        self.ask(&self.issuer()).await
    }

    async fn fails(&self) -> IssueError {
        self.issue().await.unwrap_err()
    }
}

/// A certificate that signs itself, as PEM and DER.
fn some_certificate() -> (String, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["a.example.internal".to_owned()]).unwrap();
    let der = made.cert.der().clone();
    (renewd_core::pem::certificate(&der), der)
}

/// Writes a fifo's name into a script, and hears what the script writes into it: no test waits by the clock.
fn fifo(world: &World, name: &str) -> tokio::task::JoinHandle<String> {
    let path = world.path(name);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    tokio::task::spawn_blocking(move || fs::read_to_string(path).unwrap())
}

fn is_gone(process: &str) -> bool {
    let process = process.trim().parse().unwrap();
    let pid = nix::unistd::Pid::from_raw(process);
    nix::sys::signal::kill(pid, None) == Err(nix::errno::Errno::ESRCH)
}

#[tokio::test]
async fn the_request_says_all_but_the_key_on_one_line() {
    let world = World::new("cat >\"$1/request\"; exit 75");
    world.fails().await;
    let request = world.read("request");
    assert_eq!(request.lines().count(), 1);
    let told: serde_json::Value = serde_json::from_str(&request).unwrap();
    let csr = world.key.request(&world.request).unwrap();
    let mut pem = String::new();
    renewd_core::pem::encode_into(&mut pem, "CERTIFICATE REQUEST", &csr);
    let label = |text: &str| text.lines().next().unwrap().to_owned();
    assert_eq!(label(told["csr"].as_str().unwrap()), label(&pem));
    let mut told = told;
    told["csr"] = "".into();
    let expected = serde_json::json!({
        "version": 1,
        "certificate": "api",
        "dns": ["a.example.internal", "*.b.example.internal"],
        "ip": [],
        "uri": [],
        "usages": ["server", "client"],
        "lifetime": 3600,
        "csr": "",
    });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn an_answer_is_a_chain_in_pem_alone_or_in_json() {
    let world = World::new("cat \"$1/answer\"");
    let ((leaf, leaf_der), (above, above_der)) = (some_certificate(), some_certificate());
    let json = serde_json::json!({"chain": format!("{leaf}{above}"), "more": 1});
    for answer in [
        format!("Certificate:\n  of some kind\n{leaf}\n{above}"),
        json.to_string(),
    ] {
        fs::write(world.path("answer"), answer).unwrap();
        let answer = world.issue().await.unwrap();
        assert_eq!(answer.leaf, leaf_der);
        assert_eq!(answer.chain, std::slice::from_ref(&above_der));
    }
}

#[tokio::test]
async fn what_is_no_answer_is_refused_and_never_repeated() {
    let world = World::new("cat \"$1/answer\"");
    let (leaf, _) = some_certificate();
    let cut = &leaf.as_bytes()[..leaf.len() / 2];
    let broken = leaf.replacen('M', "!", 1);
    let json = serde_json::json!({"chain": &leaf[..leaf.len() / 2]}).to_string();
    for (answer, why) in [
        (&b""[..], "no certificate"),
        (b"CANARY", "no certificate"),
        (b"\xff\xfe\x00", "no text"),
        (cut, "broken off"),
        (broken.as_bytes(), "broken off"),
        (b"{\"chain\": \"CANARY\"", "no JSON object"),
        (b"{\"certificate\": \"CANARY\"}", "no JSON object"),
        (b"{\"chain\": \"CANARY\"}", "no certificate"),
        (json.as_bytes(), "broken off"),
    ] {
        fs::write(world.path("answer"), answer).unwrap();
        let error = world.fails().await;
        let text = error.operator_text();
        assert!(text.contains(why), "{text}");
        assert!(!text.contains("CANARY"), "{text}");
        assert_eq!(
            (error.label(), error.retry()),
            ("exec-answer", Retry::BackOff)
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_key_is_refused() {
    let world = World::new("cat \"$1/roots.pem\"");
    let (leaf, _) = some_certificate();
    fs::write(world.path("roots.pem"), leaf).unwrap();
    let answer = world.issue().await.unwrap();
    let anchors = world.issuer().anchors().await.unwrap();
    let fingerprint = world.key.fingerprint();
    let now = jiff::Timestamp::now();
    let refusal = renewd_core::accept::accept(&world.request, &fingerprint, &answer, &anchors, now);
    assert!(
        matches!(refusal, Err(Refusal::WrongKey { .. })),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn roots_are_the_operators_and_nobody_elses() {
    let world = World::new("");
    let issuer = world.issuer();
    let missing = issuer.anchors().await.unwrap_err();
    assert_eq!(missing.label(), "exec-trust");
    fs::write(world.path("roots.pem"), "nothing").unwrap();
    let none = issuer.anchors().await.unwrap_err();
    assert!(none.operator_text().contains("holds no certificates"));
    let ((one, _), (two, _)) = (some_certificate(), some_certificate());
    fs::write(world.path("roots.pem"), one + &two).unwrap();
    assert_eq!(issuer.anchors().await.unwrap().len(), 2);
    fs::set_permissions(world.path("roots.pem"), fs::Permissions::from_mode(0o666)).unwrap();
    let open = issuer.anchors().await.unwrap_err();
    assert_eq!((open.label(), open.retry()), ("exec-open", Retry::BackOff));
    assert!(open.remedy().contains("chmod go-w"));
}

#[tokio::test]
async fn a_program_that_others_could_change_is_not_run() {
    let mut world = World::new("#!/bin/sh\necho run >\"$1/run\"\n");
    let script = world.path("script");
    world.settings.program.command[0] = script.to_str().unwrap().to_owned();
    for (mode, label) in [
        (0o757, "exec-open"),
        (0o775, "exec-open"),
        (0o644, "exec-start"),
    ] {
        fs::set_permissions(&script, fs::Permissions::from_mode(mode)).unwrap();
        let error = world.fails().await;
        assert_eq!(error.label(), label, "{mode:o}: {error}");
    }
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(world.fails().await.label(), "exec-open");
    fs::remove_file(&script).unwrap();
    let missing = world.fails().await;
    assert_eq!(missing.label(), "exec-program");
    assert!(missing.operator_text().contains("install it there"));
    assert!(!world.path("run").exists());
}

#[tokio::test]
async fn only_one_runs_at_a_time() {
    let world = World::new(
        "mkdir \"$1/busy\" || exit 1; cat >/dev/null; rmdir \"$1/busy\"; echo . >>\"$1/runs\"; exit 75",
    );
    let issuer = world.issuer();
    let all = (0..8).map(|_| world.ask(&issuer));
    for outcome in futures_util::future::join_all(all).await {
        assert_eq!(outcome.unwrap_err().label(), "exec-not-now");
    }
    assert_eq!(world.read("runs").lines().count(), 8);
}

/// All lines that this thread logs, whatever their level, with all their fields.
#[derive(Clone, Default)]
struct Everything(Arc<SyncMutex<String>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Everything {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Fields<'a>(&'a mut String);
        impl tracing::field::Visit for Fields<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                *self.0 += &format!("{field}={value:?} ");
            }
        }
        event.record(&mut Fields(&mut self.0.lock().unwrap()));
    }
}

#[test]
fn what_the_program_says_is_logged_and_no_secret_is() {
    use tracing_subscriber::layer::SubscriberExt;
    let mut world = World::new(
        r#"cat >/dev/null
cat "$CREDENTIALS_DIRECTORY/password" >/dev/null || exit 1
echo signing now >&2
printf 'bell\007 \033[2Jforged\n' >&2
printf '%s\n' '-----BEGIN PRIVATE KEY-----' CANARY-KEY '-----END PRIVATE KEY-----' >&2
echo '{"chain": "", "anchors": "CANARY-OUTPUT"}'
"#,
    );
    fs::create_dir(world.path("credentials")).unwrap();
    fs::write(world.path("credentials/password"), "CANARY-PASSWORD").unwrap();
    world.settings.program.credentials = vec!["password".parse().unwrap()];
    world.surroundings.credentials = Some(world.path("credentials"));
    let everything = Everything::default();
    let subscriber = tracing_subscriber::registry().with(everything.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let error = crate::journal::heard_by(subscriber, || runtime.block_on(world.fails()));
    let said = everything.0.lock().unwrap().clone() + &error.operator_text();
    assert_eq!(error.label(), "exec-answer", "{said}");
    assert!(
        said.contains("signing now") && said.contains("bell"),
        "{said}"
    );
    assert!(!said.contains(['\u{7}', '\u{1b}']), "{said}");
    let pem = world.key.pem();
    let secret = pem.lines().nth(1).unwrap();
    assert!(!said.contains("CANARY") && !said.contains(secret), "{said}");
}

#[tokio::test]
async fn an_anchor_that_only_the_program_names_is_told_and_not_believed() {
    let world = World::new("cat \"$1/answer\"");
    let ((leaf, _), (held, held_der)) = (some_certificate(), some_certificate());
    let (new, new_der) = some_certificate();
    fs::write(world.path("roots.pem"), &held).unwrap();
    let answer = serde_json::json!({"chain": leaf, "anchors": format!("{held}{new}")});
    fs::write(world.path("answer"), answer.to_string()).unwrap();
    let issuer = world.issuer();
    world.ask(&issuer).await.unwrap();
    assert_eq!(issuer.anchors().await.unwrap(), [held_der]);
    assert_ne!(issuer.anchors().await.unwrap(), [new_der]);
    // None of them can be read without the file: that is no answer to be believed.
    fs::remove_file(world.path("roots.pem")).unwrap();
    assert_eq!(world.ask(&issuer).await.unwrap_err().label(), "exec-trust");
}
