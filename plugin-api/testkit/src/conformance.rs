//! The entry: one macro that turns a plugin into a list of tests.
//!
//! It only names the tests; what they do is in [`description`](crate::description) and in the module of each kind.

/// Runs the conformance suite of a plugin, as one `#[test]` for each thing that is proved.
///
/// A filter is tested with each of the options given:
///
/// ```ignore
/// windlass_testkit::conformance! { filter acme::Rot13, options: [json!({}), json!({ "turns": 2 })] }
/// ```
///
/// A filter that neither compresses nor encrypts and can't tell damage says `, transparent` behind its options.
///
/// A storage and a source come with a fixture that makes what they need ([`StorageFixture`](crate::StorageFixture),
/// [`SourceFixture`](crate::SourceFixture)), a notifier with one that sees what was told
/// ([`NotifierFixture`](crate::NotifierFixture)):
///
/// ```ignore
/// windlass_testkit::conformance! { storage acme::Bucket, fixture: MyFixture }
/// windlass_testkit::conformance! { source acme::Database, fixture: MyFixture }
/// windlass_testkit::conformance! { notifier acme::Pager, fixture: MyFixture }
/// ```
///
/// The plugin is called through its exported boundary, inside the test's own process. Every plugin's committed
/// `options.schema.json` is compared with what its options type derives; with `WINDLASS_WRITE_SCHEMA=1` it is rewritten.
#[macro_export]
macro_rules! conformance {
    (filter $plugin:ty, options: [$($options:expr),+ $(,)?] $(, $word:ident)? $(,)?) => {
        fn conformance_options() -> ::std::vec::Vec<$crate::__Value> {
            ::std::vec![$($options),+]
        }
        $crate::conformance! { @description $plugin, conformance_options() }
        $crate::conformance! {
            @tests filter, $crate::filter::Subject::new::<$plugin>(conformance_options()) $(.$word())?;
            whatever_is_encoded_comes_back
            writes_and_reads_of_one_byte_come_back
            streams_of_several_threads_do_not_mix
            truncated_bytes_are_an_error
            garbage_is_an_error
            garbage_behind_the_end_is_an_error
            a_dropped_encoder_finishes_nothing
            a_finish_is_passed_on_once
            an_error_of_the_next_sink_comes_back_as_itself
            an_error_of_the_input_comes_back_as_itself
            the_command_by_hand_holds_no_secret
        }
    };
    (storage $plugin:ty, fixture: $fixture:ty $(,)?) => {
        $crate::conformance! { @description $plugin, $crate::storage::sample_options::<$fixture>() }
        $crate::conformance! {
            @tests storage, $crate::storage::Subject::new::<$plugin, $fixture>();
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
            a_listing_is_in_byte_order_and_complete
            pages_add_up_to_the_whole
            entries_say_what_stat_says
            what_a_dead_maker_left_is_told_and_can_be_removed
            a_check_leaves_nothing
        }
    };
    (source $plugin:ty, fixture: $fixture:ty $(,)?) => {
        $crate::conformance! { @description $plugin, $crate::source::sample_options::<$fixture>() }
        $crate::conformance! {
            @tests source, $crate::source::Subject::<$fixture>::new::<$plugin>();
            a_probe_changes_nothing
            a_backup_finishes_every_stream_it_creates
            short_writes_and_reads_change_nothing
            an_error_of_a_sink_comes_back_as_itself
            a_cancelled_backup_ends_promptly
            a_restore_gives_what_was_backed_up
            a_stream_without_contents_can_be_restored
            an_empty_target_is_told_from_a_filled_one
            the_mode_decides_over_a_filled_target
            damaged_streams_leave_an_atomic_target_as_it_was
            a_cancelled_restore_ends_promptly
            what_is_not_in_the_snapshot_can_not_be_chosen
            nothing_that_is_recorded_holds_a_secret
        }
    };
    (notifier $plugin:ty, fixture: $fixture:ty $(,)?) => {
        $crate::conformance! { @description $plugin, $crate::notifier::sample_options::<$fixture>() }
        $crate::conformance! {
            @tests notifier, $crate::notifier::Subject::<$fixture>::new::<$plugin>();
            an_event_arrives_once_and_whole
        }
    };
    (@tests $kind:ident, $subject:expr; $($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                $crate::$kind::$name(&$subject);
            }
        )+
    };
    (@description $plugin:ty, $options:expr) => {
        #[test]
        fn the_description_is_sane() {
            $crate::description::the_description_is_sane::<$plugin>();
        }
        #[test]
        fn the_committed_schema_is_what_the_options_type_derives() {
            $crate::description::the_committed_schema_is_derived::<$plugin>(env!("CARGO_MANIFEST_DIR"));
        }
        #[test]
        fn every_option_is_described_and_every_secret_is_one() {
            $crate::description::every_option_is_described::<$plugin>();
        }
        #[test]
        fn an_unknown_option_is_refused() {
            $crate::description::an_unknown_option_is_refused::<$plugin>($options);
        }
        #[test]
        fn debug_of_the_options_shows_no_secret() {
            #[allow(unused_imports)]
            use $crate::description::{DebugText as _, NoDebugText as _};
            let hold = $crate::description::Hold::<$plugin>::planted($options);
            $crate::description::shows_no_secret((&hold).debug_texts());
        }
    };
}
