//! What is found of a program that is not run.

use super::super::super::{Is, Question};
use super::*;

/// A program that says if it was run, with a root to believe.
fn world() -> World {
    let mut world = World::new("#!/bin/sh\ntouch \"$1/run\"\n");
    let script = world.path("script");
    world.settings.program.command[0] = script.to_str().unwrap().to_owned();
    world.settings.program.command[1] = world.path("").to_str().unwrap().to_owned();
    mode(&world, 0o755);
    fs::write(world.path("roots.pem"), some_certificate().0).unwrap();
    world
}

fn mode(world: &World, mode: u32) {
    fs::set_permissions(world.path("script"), fs::Permissions::from_mode(mode)).unwrap();
}

/// The answers, in their order, and the text of the only one that is no.
async fn found(world: &World) -> ([Is; 4], String) {
    let found = world.issuer().check(&[]).await;
    let questions: Vec<_> = found.iter().map(|found| found.question).collect();
    assert_eq!(questions, Question::ALL);
    assert!(!world.path("run").exists());
    let mut texts = found.iter().filter(|found| found.is == Is::No);
    let text = texts.next().map(|found| found.text.clone());
    assert_eq!(texts.next(), None);
    let is: Vec<_> = found.iter().map(|found| found.is).collect();
    (is.try_into().unwrap(), text.unwrap_or_default())
}

const WELL: [Is; 4] = [Is::Yes, Is::Unknown, Is::Unknown, Is::Unknown];
const NOT_REACHABLE: [Is; 4] = [Is::No, Is::Unknown, Is::Unknown, Is::Unknown];

#[tokio::test]
async fn a_program_is_looked_at_as_before_it_is_run_and_not_run() {
    let world = world();
    assert_eq!(found(&world).await, (WELL, String::new()));
    for (change, part) in [
        (0o757, "chmod go-w"),
        (0o775, "chmod go-w"),
        (0o644, "executable"),
    ] {
        mode(&world, change);
        let (is, text) = found(&world).await;
        assert_eq!(is, NOT_REACHABLE, "{change:o}");
        assert!(text.contains(part), "{change:o}: {text}");
    }
    mode(&world, 0o755);
    assert_eq!(found(&world).await.0, WELL);
    fs::remove_file(world.path("script")).unwrap();
    let (is, text) = found(&world).await;
    assert_eq!(is, NOT_REACHABLE);
    assert!(text.contains("install it there"), "{text}");
}

#[tokio::test]
async fn its_credentials_and_its_roots_are_looked_for() {
    let mut world = world();
    world.settings.program.credentials = vec!["password".parse().unwrap()];
    let (is, text) = found(&world).await;
    assert_eq!(is, [Is::Yes, Is::No, Is::Unknown, Is::Unknown]);
    assert!(text.contains("LoadCredential=password:"), "{text}");
    world.surroundings.credentials = Some(world.path(""));
    fs::write(world.path("password"), "canary").unwrap();
    assert_eq!(found(&world).await.0, WELL);
    fs::write(world.path("roots.pem"), "").unwrap();
    let (is, text) = found(&world).await;
    assert_eq!(is, [Is::Yes, Is::Unknown, Is::Unknown, Is::No]);
    assert!(text.contains("roots.pem"), "{text}");
}
