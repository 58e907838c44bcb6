//! What every storage must stand, on a server that isn't OpenSSH's: without `fsync`, `statvfs` and limits, whose rename
//! replaces, and which asks for a password.

mod common;

use serde_json::{Value, json};
use windlass_plugin_api::Storage;
use windlass_test_servers::RcloneSftp;

struct Server(RcloneSftp);

fn options(server: &RcloneSftp) -> Value {
    json!({
        "host": server.host(),
        "port": server.port(),
        "user": server.user(),
        "password": server.password(),
        "path": "/",
        "host_key": server.host_key(),
        "agent": false,
    })
}

impl windlass_testkit::StorageFixture for Server {
    fn new() -> Self {
        Self(RcloneSftp::start())
    }
    fn options(&self) -> Value {
        options(&self.0)
    }
}

/// The suite, but for odd keys, which are those of what rclone stores in, for the longest keys, which take it a minute, and for
/// objects that are replaced while they are read: without `posix-rename@openssh.com` there is none for a moment.
macro_rules! conformance {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                use windlass_testkit::storage::{self, Subject};
                storage::$name(&Subject::new::<windlass_storage_sftp::Sftp, Server>());
            }
        )+
    };
}

conformance! {
    an_object_is_invisible_before_it_is_published
    a_dropped_upload_leaves_nothing
    an_object_is_replaced_whole_or_not_at_all
    an_object_that_must_be_absent_replaces_nothing
    one_of_several_rivals_wins
    what_is_put_comes_back
    writes_of_one_byte_come_back
    ranges_are_what_they_name
    what_is_not_there_is_told
    keys_that_lead_outside_are_refused
    what_is_deleted_is_gone_and_the_rest_stays
    a_listing_is_in_byte_order_and_complete
    pages_add_up_to_the_whole
    entries_say_what_stat_says
    what_a_dead_maker_left_is_told_and_can_be_removed
    a_check_leaves_nothing
}

#[test]
fn a_check_says_what_the_server_can_not_do() {
    let server = RcloneSftp::start();
    let report = common::made(options(&server)).check(&common::cx()).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("fsync@openssh.com")), "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("An answer of the server takes")), "{report:?}");
    let says = |what: &str| report.notes.iter().any(|note| note.contains(what));
    assert!(says("1 MiB up in") && says("down in") && says("the clocks agree"), "{report:?}");
}
