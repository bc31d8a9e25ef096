//! The accepted texts of the configuration: kept until they are forgotten, over restarts.

use renewd_store::Store;
use renewd_store::disk::Disk;

#[test]
fn an_accepted_text_is_kept_until_it_is_forgotten() {
    let state = tempfile::tempdir().unwrap();
    let open = || Store::open(state.path(), Disk::default()).unwrap();
    let store = open();
    for file in ["renewd.toml", "api.certificate.toml"] {
        store.save_accepted(file, "text").unwrap();
    }
    store.forget_accepted("api.certificate.toml").unwrap();
    // What is gone already is no error: an interrupted clean-up is done again.
    store.forget_accepted("api.certificate.toml").unwrap();
    drop(store);

    let store = open();
    assert_eq!(store.load_accepted("api.certificate.toml").unwrap(), None);
    assert_eq!(store.accepted_names().unwrap(), ["renewd.toml"]);
}
