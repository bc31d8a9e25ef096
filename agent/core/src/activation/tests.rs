//! Tests of both machines over a simulated world.

mod chaos;
mod invariants;
mod transitions;
mod verdicts;
mod world;
