//! Empties a database inside the transaction that fills it again: for who may not swap databases.
//!
//! It goes as the first entry of an archive, or before the text of a plain dump, so that `pg_restore` and `psql` run it in
//! their own transaction: what it drops is there again if anything fails. What is left: extensions, the schema `public`
//! itself, and default privileges without a schema.

/// The SQL. Only what who restores may drop is dropped; the first thing that it may not ends the transaction.
/// `lock_timeout` is in seconds.
pub(crate) fn sql(lock_timeout: u32) -> String {
    format!("SET LOCAL lock_timeout = '{lock_timeout}s';\n{DROP_ALL}\n")
}

/// Each object is looked for anew, for dropping one may take others along.
const DROP_ALL: &str = r"DO $windlass$
DECLARE one record;
BEGIN
  FOR one IN SELECT evtname FROM pg_catalog.pg_event_trigger e WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = e.tableoid AND d.objid = e.oid AND d.deptype = 'e') LOOP
    EXECUTE pg_catalog.format('DROP EVENT TRIGGER %I', one.evtname);
  END LOOP;
  FOR one IN SELECT pubname FROM pg_catalog.pg_publication LOOP
    EXECUTE pg_catalog.format('DROP PUBLICATION %I', one.pubname);
  END LOOP;
  FOR one IN SELECT nspname FROM pg_catalog.pg_namespace n WHERE nspname !~ '^pg_'
      AND nspname NOT IN ('information_schema', 'public') AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = n.tableoid AND d.objid = n.oid AND d.deptype = 'e')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE x.extnamespace = n.oid) LOOP
    EXECUTE pg_catalog.format('DROP SCHEMA %I CASCADE', one.nspname);
  END LOOP;
  LOOP
    SELECT i.type, i.identity INTO one FROM pg_catalog.pg_depend d
      JOIN pg_catalog.pg_namespace n ON n.oid = d.refobjid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema',
      LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) i
      WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.deptype = 'n'
      AND d.classid NOT IN ('pg_catalog.pg_extension'::pg_catalog.regclass, 'pg_catalog.pg_default_acl'::pg_catalog.regclass)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
        WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e') LIMIT 1;
    EXIT WHEN NOT FOUND;
    EXECUTE pg_catalog.format('DROP %s %s CASCADE', CASE one.type WHEN 'composite type' THEN 'type'
      WHEN 'statistics object' THEN 'statistics' ELSE one.type END, one.identity);
  END LOOP;
  PERFORM pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata;
END $windlass$;";
