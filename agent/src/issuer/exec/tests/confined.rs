//! What a program sees. These need a kernel with Landlock, and fail without.

use std::os::fd::AsRawFd;

use super::*;

/// A store with a key in it, beside what is not hidden.
fn with_store(script: &str, hide: bool) -> World {
    let mut world = World::new(script);
    fs::create_dir_all(world.path("state/store")).unwrap();
    fs::write(world.path("state/store/key.pem"), "the key").unwrap();
    fs::write(world.path("beside"), "beside").unwrap();
    // Beside what is hidden, what is there may be written, and nothing new be made.
    fs::write(world.path("tried"), "").unwrap();
    fs::write(world.path("errors"), "").unwrap();
    std::os::unix::fs::symlink(world.path("state"), world.path("link")).unwrap();
    if hide {
        world.surroundings.hidden = vec![world.path("state")];
    }
    world
}

/// Each line: what was tried, and whether it worked.
const TRY: &str = r#"
cd "$1"
try() { "$@" >/dev/null 2>>errors && echo "$* worked" >>tried || echo "$* failed" >>tried; }
try cat state/store/key.pem
try cat link/store/key.pem
try ls state/store
try touch state/new
try ln state/store/key.pem stolen
try mv state/store stolen-too
try cat beside
try touch new
try ls /usr/bin /tmp
exit 75
"#;

#[tokio::test]
async fn a_program_never_sees_the_store() {
    let world = with_store(TRY, true);
    assert_eq!(world.fails().await.label(), "exec-not-now");
    let expected = "cat state/store/key.pem failed
cat link/store/key.pem failed
ls state/store failed
touch state/new failed
ln state/store/key.pem stolen failed
mv state/store stolen-too failed
cat beside worked
touch new failed
ls /usr/bin /tmp failed
";
    assert_eq!(world.read("tried"), expected);
    assert!(world.read("errors").contains("Permission denied"));
}

/// The sabotage: what the test above calls failed works where nothing is hidden.
#[tokio::test]
async fn without_landlock_it_would_see_the_store() {
    let world = with_store(TRY, false);
    assert_eq!(world.fails().await.label(), "exec-not-now");
    let tried = world.read("tried");
    assert!(tried.starts_with("cat state/store/key.pem worked\ncat link/store/key.pem worked\n"));
    assert!(!tried.contains("failed"), "{tried}");
}

#[tokio::test]
async fn the_thread_that_asks_is_not_confined() {
    let world = with_store("exit 75", true);
    world.fails().await;
    assert_eq!(world.read("state/store/key.pem"), "the key");
    fs::write(world.path("state/store/new"), "").unwrap();
}

#[tokio::test]
async fn only_the_credentials_that_are_configured_are_seen() {
    let mut world = World::new(
        r#"cd "$1"; env >environment
cat "$CREDENTIALS_DIRECTORY/mine" >mine
cat "$CREDENTIALS_DIRECTORY/other" >other && exit 1
ls "$CREDENTIALS_DIRECTORY" && exit 1
exit 75"#,
    );
    for name in ["mine", "other"] {
        fs::create_dir_all(world.path("credentials")).unwrap();
        fs::write(world.path("credentials").join(name), name).unwrap();
        // What may be written must be there: the directory above what is hidden allows nothing new.
        fs::write(world.path(name), "").unwrap();
    }
    fs::write(world.path("environment"), "").unwrap();
    world.surroundings.credentials = Some(world.path("credentials"));
    world.settings.program.credentials = vec!["mine".parse().unwrap()];
    assert_eq!(world.fails().await.label(), "exec-not-now");
    assert_eq!(
        (world.read("mine"), world.read("other")),
        ("mine".into(), String::new())
    );
    assert!(world.read("environment").contains("CREDENTIALS_DIRECTORY="));
    world.settings.program.credentials = vec!["absent".parse().unwrap()];
    let error = world.fails().await;
    assert_eq!(error.label(), "exec-secret");
    assert!(error.remedy().contains("LoadCredential=absent:"));
    // Without any, it hears of none.
    world.settings.program.credentials = Vec::new();
    world.fails().await;
    assert!(!world.read("environment").contains("CREDENTIALS"));
}

#[tokio::test]
async fn environment_and_descriptors_are_the_programs_own() {
    let world = World::new(
        "env >\"$1/environment\"; ls -l /proc/self/fd >\"$1/open\"; pwd >\"$1/where\"; exit 75",
    );
    // What whoever runs the tests has stands for NOTIFY_SOCKET and the like.
    let ours = |name: &str| !matches!(name, "LANG" | "PATH" | "PWD" | "OLDPWD" | "SHLVL" | "_");
    assert!(std::env::vars().any(|(name, _)| ours(&name)));
    let file = fs::File::create(world.path("opened")).unwrap();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(world.fails().await.label(), "exec-not-now");
    let environment = world.read("environment");
    let mut names: Vec<&str> = environment
        .lines()
        .filter_map(|line| line.split('=').next())
        // The shell's own.
        .filter(|name| !matches!(*name, "PWD" | "OLDPWD" | "SHLVL" | "_"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["LANG", "PATH", "RENEWD_RUN"]);
    assert_eq!(world.read("where"), "/\n");
    // Whoever runs the tests may hand down something of his own; nothing that was opened here is among it.
    let open = world.read("open");
    let socket = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
    drop(file);
    assert!(open.contains("pipe:"), "{open}");
    assert!(
        !open.contains("/opened") && !open.contains(socket.to_str().unwrap()),
        "{open}"
    );
}

#[tokio::test]
async fn it_cannot_listen() {
    let world = World::new(
        "exec perl -MIO::Socket::INET -e 'exit(IO::Socket::INET->new(Listen => 1, LocalAddr => \"127.0.0.1:0\", LocalPort => 47111) ? 0 : 75)'",
    );
    assert_eq!(world.fails().await.label(), "exec-not-now");
}
