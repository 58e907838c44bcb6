//! SeaweedFS: a bucket, and what the other door shows of it.

use windlass_test_servers::Seaweed;

#[test]
fn a_bucket_is_there_once_it_is_made() {
    let server = Seaweed::start();
    assert_eq!(server.object("acme", "a"), None);
    server.make_bucket("acme");
    assert_eq!((server.object("acme", "a"), server.half_uploads("acme")), (None, 0));
    assert!(
        server.log().contains("Start Seaweed S3") && server.endpoint().ends_with(&server.port().to_string())
    );
}
