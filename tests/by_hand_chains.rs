//! RESTORE.txt of chains: whatever filters a backup has passed, in whatever order, the standard programs undo them.

mod common;

use std::fs;
use std::path::PathBuf;

use common::by_hand::{check_hash, commands, sh_with, taken};
use common::filters;
use common::{Sandbox, database, rows};

/// No filter, each alone, all ordered pairs (a filter with itself too), and each in every place of three and of four.
fn chains(count: usize) -> Vec<Vec<usize>> {
    let mut chains = vec![Vec::new()];
    chains.extend((0..count).map(|one| vec![one]));
    chains.extend((0..count).flat_map(|one| (0..count).map(move |other| vec![one, other])));
    chains.extend((0..count).map(|one| vec![one, (one + 1) % count, (one + 3) % count]));
    chains.extend((0..count).map(|one| vec![one, (one + 2) % count, one, (one + 5) % count]));
    chains
}

#[test]
fn a_database_comes_back_by_hand_whatever_the_chain() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "delete", 5).close().unwrap();
    let filters = filters::all(&sandbox.path("keys"));
    let mut config = "[source.it]\nplugin = \"sqlite\"\npath = \"shop.db\"\n".to_owned();
    config.extend(filters.iter().map(|(filter, ready)| filter.decode_section(ready)));
    let environment: Vec<(&str, PathBuf)> =
        filters.iter().flat_map(|(_, ready)| ready.environment.clone()).collect();
    let mut pipelines = Vec::new();
    for chain in chains(filters.len()) {
        let chain: Vec<_> = chain.iter().map(|index| &filters[*index]).collect();
        let names: Vec<&str> = chain.iter().map(|(filter, _)| filter.name).collect();
        let name = format!("via-{}", names.join("-"));
        let list: Vec<String> = chain.iter().map(|(filter, ready)| filter.in_config(ready)).collect();
        config.push_str(&format!(
            "[pipeline.{name}]\nsource = \"it\"\nstorage = \"fs:store\"\nfilters = [{}]\n",
            list.join(", ")
        ));
        pipelines.push((name, names.len()));
    }
    sandbox.config(&config);
    sandbox.ok(&["-q", "backup", "--all"]);
    let whole = rows(&sandbox.path("shop.db"));
    for (name, length) in pipelines {
        let hand = taken(&sandbox, &name, &name);
        let (commands, _) = commands(&hand);
        check_hash(&hand, &commands[0]);
        // The object, a command for each filter, and what loads it.
        assert_eq!(commands[0].matches(" | ").count(), length + 1, "{}", commands[0]);
        sh_with(&hand, &commands[0], &environment);
        assert_eq!(rows(&hand.join("shop.db")), whole, "{}", commands[0]);
        fs::remove_dir_all(hand).unwrap();
    }
}
