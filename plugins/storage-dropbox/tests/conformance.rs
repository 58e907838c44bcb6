//! What every storage must stand, on the double.
//!
//! Three tests of the suite store `A` beside `a/…`, which this service takes for one name: their sentences are proved in
//! listing.rs on keys that it can tell apart. All others run as they are.

mod double;

use double::{Service, host};
use windlass_storage_dropbox::Dropbox;
use windlass_testkit::storage::{Subject, sample_options};

struct Room(Service);

impl windlass_testkit::StorageFixture for Room {
    fn new() -> Self {
        Self(Service::start())
    }
    fn options(&self) -> serde_json::Value {
        self.0.options("Top/below")
    }
    fn host(&self) -> windlass_testkit::TestHost {
        host()
    }
    /// The service lists no sessions: they are seen by nobody, and it forgets them by itself.
    fn tells_leftovers(&self) -> bool {
        false
    }
}

windlass_testkit::conformance! { @description Dropbox, sample_options::<Room>() }
windlass_testkit::conformance! {
    @tests storage, Subject::new::<Dropbox, Room>();
    an_object_is_invisible_before_it_is_published
    a_dropped_upload_leaves_nothing
    an_object_is_replaced_whole_or_not_at_all
    an_object_that_must_be_absent_replaces_nothing
    one_of_several_rivals_wins
    parallel_uploads_do_not_mix
    what_is_put_comes_back
    writes_of_one_byte_come_back
    ranges_are_what_they_name
    what_is_not_there_is_told
    every_key_of_the_contract_is_kept
    odd_keys_are_kept_where_they_are_declared
    keys_that_lead_outside_are_refused
    what_is_deleted_is_gone_and_the_rest_stays
    the_command_by_hand_holds_no_secret
    what_a_dead_maker_left_is_told_and_can_be_removed
    a_check_leaves_nothing
}
