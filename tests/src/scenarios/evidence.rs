//! What an operator is told: a certificate's history in the journal, what `status` and `show` say.
//! What `doctor` finds is in [`super::doctor`].

use serde_json::Value;

use super::nginx::{self, NGINX};
use crate::agent::{PROOF, published};
use crate::failure::{Failure, Result, expect, expect_equal};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[HISTORY, STATUS];

/// Parses what a command printed.
pub(super) fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Failure::Expectation {
        expected: "JSON".to_owned(),
        found: format!("{error} in {text}"),
    })
}

/// What became of one generation of `api`, and why.
pub(super) fn verdict(machine: &Machine, generation: u64) -> Result<(String, String)> {
    let shown = json(&machine.run(&["renewctl", "show", "api", "--json"])?)?;
    let verdicts = shown["verdicts"].as_array().map_or(&[][..], Vec::as_slice);
    let of = |entry: &&Value| entry["generation"] == generation;
    let found = verdicts.iter().find(of).unwrap_or(&Value::Null);
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Ok((text("verdict"), text("cause")))
}

/// Fails unless this became of one generation of `api`.
pub(super) fn expect_verdict(machine: &Machine, generation: u64, wanted: &str) -> Result<()> {
    let (found, cause) = verdict(machine, generation)?;
    expect(
        found == wanted,
        format_args!("generation {generation} as `{wanted}`"),
        format_args!("`{found}`: {cause}"),
    )
}

/// Fails unless the published bundle of `api` is the authority's root.
pub(super) fn expect_bundle(machine: &Machine) -> Result<()> {
    let (root, bundle) = (
        machine.run(&["renewctl", "ca", "root"])?,
        machine.read(&published("api", "ca.pem"))?,
    );
    expect_equal("the published bundle", &root, &bundle)
}

const HISTORY: Scenario = Scenario {
    name: "the_journal_tells_a_certificates_history_in_order_and_with_its_fields",
    disk: Disk::Installed,
    fault: "nginx refuses to reload",
    red: "`reload done` next",
    run: history,
};

/// The events of a rotation: what, `MESSAGE_ID`, step, and the fields besides the certificate's name. docs/journal.md.
const ROTATION: &[(&str, &str, &str, &[&str])] = &[
    (
        "issuance started",
        "099b213aaae64808ab6ee37adb2a9206",
        "issue",
        &[],
    ),
    (
        "issued",
        "5eaea4b54ccd49e9979490b9be5ab3a7",
        "issue",
        &["RENEWD_GENERATION", "RENEWD_SERIAL"],
    ),
    (
        "published",
        "a17021d7f63c4755b7a7cf3127e2144c",
        "publish",
        &["RENEWD_GENERATION", "RENEWD_SERIAL"],
    ),
    (
        "reload started",
        "ad6301b72ed3449ea708d7c8b1e84227",
        "reload",
        &["RENEWD_UNIT"],
    ),
    (
        "reload done",
        "e94405a4c46948df858dbc4c12b43dbe",
        "reload",
        &["RENEWD_UNIT"],
    ),
    (
        "proven",
        "ade1725629c54f4f900b8a2b07298d56",
        "probe",
        &["RENEWD_GENERATION", "RENEWD_SERIAL", "RENEWD_UNIT"],
    ),
];

fn history(trial: &mut Trial) -> Result<()> {
    nginx::serve(trial, "24h")?;
    trial.sabotage(|machine| {
        machine.drop_in(NGINX, "[Service]\nExecReload=\nExecReload=/bin/false\n")
    })?;
    let entries = || -> Result<Vec<Value>> {
        let text = trial.run(&["journalctl", "--output=json", "RENEWD_CERT=api"])?;
        text.lines().map(json).collect()
    };
    let before = entries()?.len();
    trial.renew(&["api"])?;
    let serial = trial.published_serial("api")?;
    trial.wait_until("the whole history is in the journal", PROOF, || {
        let entries = entries()?;
        expect_rotation(entries.get(before..).unwrap_or_default(), &serial)
    })?;
    // One unit, over all its certificates.
    let by_unit = trial.run(&[
        "journalctl",
        "--output=cat",
        "RENEWD_UNIT=nginx.service",
        "MESSAGE_ID=ade1725629c54f4f900b8a2b07298d56",
    ])?;
    expect(
        by_unit.contains("api: nginx.service serves generation 2"),
        "the proof among the unit's",
        by_unit,
    )
}

/// Fails unless the entries are those of one rotation to generation 2, in their order and with nothing in between.
fn expect_rotation(entries: &[Value], serial: &str) -> Result<()> {
    let field = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    for (index, (what, id, step, fields)) in ROTATION.iter().enumerate() {
        let entry = entries.get(index).unwrap_or(&Value::Null);
        expect(
            field(entry, "MESSAGE_ID") == *id,
            format_args!("`{what}` next"),
            entry,
        )?;
        let mut wanted = vec![
            ("RENEWD_CERT", "api"),
            ("RENEWD_STEP", step),
            ("PRIORITY", "6"),
            ("_SYSTEMD_UNIT", "renewd.service"),
        ];
        wanted.extend(fields.iter().map(|name| match *name {
            "RENEWD_GENERATION" => (*name, "2"),
            "RENEWD_SERIAL" => (*name, serial),
            _ => (*name, NGINX),
        }));
        for (name, value) in wanted {
            expect_equal(
                &format!("{name} of `{what}`"),
                &value,
                &field(entry, name).as_str(),
            )?;
        }
    }
    expect_equal("events of a rotation", &ROTATION.len(), &entries.len())
}

const STATUS: Scenario = Scenario {
    name: "status_as_json_has_exactly_the_documented_keys_and_types",
    disk: Disk::Installed,
    fault: "one key has another name",
    red: "the keys of a unit",
    run: status,
};

fn status(trial: &mut Trial) -> Result<()> {
    nginx::serve(trial, "24h")?;
    let script = trial.choose("cat", "sed s/served_serial/serial_served/");
    let text = trial.shell(&format!("renewctl status --json | {script}"))?;
    let report = json(&text)?;
    expect_keys("the keys of the report", &report, &["certificates"])?;
    let certificate = &report["certificates"][0];
    let keys = [
        "name",
        "state",
        "generation",
        "serial",
        "not_before",
        "not_after",
        "next_renewal",
        "last_error",
        "units",
    ];
    expect_keys("the keys of a certificate", certificate, &keys)?;
    let dependent = &certificate["units"][0];
    let keys = ["unit", "proof", "reason", "served_serial", "since"];
    expect_keys("the keys of a unit", dependent, &keys)?;

    let serial = trial.published_serial("api")?;
    for (found, wanted) in [
        (&certificate["name"], Value::from("api")),
        (&certificate["state"], Value::from("fresh")),
        (&certificate["generation"], Value::from(1)),
        (&certificate["serial"], Value::from(serial.as_str())),
        (&certificate["last_error"], Value::Null),
        (&dependent["unit"], Value::from(NGINX)),
        (&dependent["proof"], Value::from("served")),
        (&dependent["reason"], Value::Null),
        (&dependent["served_serial"], Value::from(serial.as_str())),
    ] {
        expect_equal("a value", &wanted, found)?;
    }
    let times = ["not_before", "not_after", "next_renewal"].map(|key| &certificate[key]);
    let mut instants = Vec::new();
    for time in times.into_iter().chain([&dependent["since"]]) {
        let text = time.as_str().unwrap_or_default();
        expect(
            text.ends_with('Z') && text.get(10..11) == Some("T"),
            "an instant in UTC by RFC 3339",
            time,
        )?;
        instants.push(trial.run(&["date", "--date", text, "+%s"])?);
    }
    let [begin, end, due, since] =
        [0, 1, 2, 3].map(|at: usize| instants[at].trim().parse().unwrap_or(0_i64));
    expect(
        begin < due && due < end && begin < since && since < due,
        "a renewal within the life",
        format_args!("{instants:?}"),
    )
}

fn expect_keys(what: &str, value: &Value, keys: &[&str]) -> Result<()> {
    let mut found: Vec<&str> = value
        .as_object()
        .map(|object| object.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let mut wanted = keys.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    expect_equal(what, &wanted, &found)
}
