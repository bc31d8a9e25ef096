//! How programs end, by themselves or not.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn every_exit_code_has_its_meaning() {
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    for (script, label, retry) in [
        ("exit 75", "exec-not-now", Retry::BackOff),
        ("echo soon; exit 75", "exec-not-now", Retry::BackOff),
        ("echo -5; exit 75", "exec-not-now", Retry::BackOff),
        ("echo 120; exit 75", "exec-after", after(120)),
        ("echo ' 0 '; exit 75", "exec-after", after(0)),
        (
            "echo 1000000000000; exit 75",
            "exec-after",
            after(1_000_000_000_000),
        ),
        ("exit 77", "exec-operator", Retry::Operator),
        ("exit 78", "exec-operator", Retry::Operator),
        ("exit 1", "exec-failed", Retry::BackOff),
        ("exit 76", "exec-failed", Retry::BackOff),
        ("exit 255", "exec-failed", Retry::BackOff),
        ("kill -9 $$", "exec-signal", Retry::BackOff),
    ] {
        let world = World::new(&format!("echo because >&2; {script}"));
        let error = world.fails().await;
        assert_eq!((error.label(), error.retry()), (label, retry), "{script}");
        let text = error.operator_text();
        assert!(text.contains("having said \"because\""), "{text}");
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_with_all_its_children() {
    let mut world = World::new(
        "sleep 1000 & echo $! >\"$1/child\"; echo $$ >\"$1/leader\"; echo thinking >&2; wait",
    );
    world.settings.program.timeout = Duration::from_millis(500);
    let error = world.fails().await;
    assert_eq!(error.label(), "exec-timeout");
    assert!(
        error
            .operator_text()
            .contains("500ms, having said \"thinking\"")
    );
    await_gone(&world, &["leader", "child"]).await;
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed() {
    let mut world = World::new(
        "trap '' TERM; sleep 1000 & echo $! >\"$1/child\"; echo $$ >\"$1/leader\"; while :; do wait; done",
    );
    world.settings.program.timeout = Duration::from_millis(500);
    let begun = Instant::now();
    assert_eq!(world.fails().await.label(), "exec-timeout");
    assert!(
        begun.elapsed() > Duration::from_secs(2),
        "it had its time to end"
    );
    await_gone(&world, &["leader", "child"]).await;
}

#[tokio::test]
async fn output_without_end_ends_the_program() {
    let mut world = World::new("echo $$ >\"$1/leader\"; exec head -c 500000000 /dev/zero");
    world.settings.program.output_limit = 4096;
    let error = world.fails().await;
    assert_eq!(
        (error.label(), error.retry()),
        ("exec-output", Retry::BackOff)
    );
    await_gone(&world, &["leader"]).await;
    // Nor is it kept when it comes on stderr; the program may say it all.
    let world = World::new("head -c 500000000 /dev/zero >&2; exit 77");
    assert_eq!(world.fails().await.retry(), Retry::Operator);
}

#[tokio::test]
async fn an_answer_is_whole_when_the_program_ends_whoever_holds_its_stdout() {
    let world = World::new("sleep 1000 & echo $! >\"$1/child\"; cat \"$1/answer\"; exit 0");
    let (leaf, der) = some_certificate();
    // More than a pipe holds.
    fs::write(world.path("answer"), "text\n".repeat(50_000) + &leaf).unwrap();
    assert_eq!(world.issue().await.unwrap().leaf, der);
    await_gone(&world, &["child"]).await;
    // One that left the group, and keeps the pipe, neither holds up anybody nor goes on.
    let world = World::new(
        "setsid sh -c 'trap \"\" TERM HUP; sleep 1000 & echo $! >\"$0/below\"; echo $$ >\"$0/child\"; \
         echo >\"$0/started\"; wait' \"$1\" & cat \"$1/started\" >/dev/null; cat \"$1/answer\"",
    );
    nix::unistd::mkfifo(&world.path("started"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(world.path("answer"), &leaf).unwrap();
    assert_eq!(world.issue().await.unwrap().leaf, der);
    await_gone(&world, &["child", "below"]).await;
}

#[tokio::test]
async fn a_program_need_not_read_its_request() {
    let mut world = World::new("cat \"$1/answer\"");
    let (leaf, der) = some_certificate();
    fs::write(world.path("answer"), leaf).unwrap();
    // More than a pipe holds, with the CSR.
    world.request.names = (0..900)
        .map(|n| format!("a{n}.{}.test", "x".repeat(60)).parse().unwrap())
        .collect();
    assert_eq!(world.issue().await.unwrap().leaf, der);
    let mut world = World::new("exec <&-; sleep 1000");
    world.settings.program.timeout = Duration::from_millis(300);
    assert_eq!(world.fails().await.label(), "exec-timeout");
}

#[tokio::test]
async fn who_gives_up_waiting_ends_the_program() {
    let world = World::new(
        "trap '' TERM; sleep 1000 & echo $! >\"$1/child\"; echo $$ >\"$1/leader\"; echo >\"$1/started\"; while :; do wait; done",
    );
    let started = fifo(&world, "started");
    tokio::select! {
        outcome = world.issue() => panic!("it ended: {outcome:?}"),
        started = started => drop(started.unwrap()),
    }
    // The future is dropped: the leader is reaped by now.
    assert!(is_gone(&world.read("leader")));
    await_gone(&world, &["child"]).await;
}

/// A killed child is reaped by whoever inherits it, in a moment.
async fn await_gone(world: &World, files: &[&str]) {
    for file in files {
        let process = world.read(file);
        let process = process.trim();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_gone(process) {
            // Reaped or not, it runs no more.
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            if stat.contains(") Z ") {
                break;
            }
            assert!(Instant::now() < deadline, "{file} is alive: {stat}");
            tokio::task::yield_now().await;
        }
    }
}
