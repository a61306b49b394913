//! What went wrong in other vaults' paths, lives, ceremonies, logs, bounds, texts and caches, and the tests that would have caught it here, at
//! the class of it. Checked as the table in `advisories.rs` is. Logins and names are there, certificates in `advisories_d.rs`.
//!
//! | what was found | tests |
//! | --- | --- |
//! | A. CVE-2026-3605, CVE-2026-12624, GHSA-xp3c-3jw3-4vcr: router and policy saw two paths, a list escaped a denial | `paths::paths_with_tricks_are_refused_everywhere`, `paths::a_slash_that_is_encoded_is_a_slash_for_policies_too`, `policies::all_ways_to_ask_for_a_list_get_the_same_verdict` |
//! | A. openbao#2910: an honest path was refused | `paths::honest_paths_pass_in_every_encoding` |
//! | A. CVE-2026-89322, CVE-2026-105820: another spelling of a name escaped a denial | `spellings::who_is_denied_a_name_reaches_it_by_no_spelling`, `spellings::no_name_has_spaces_at_its_ends_or_the_marks_of_paths_and_policies` |
//! | A. CVE-2026-5006, GHSA-59w7-v8rr-pr4p, CVE-2021-43998, CVE-2022-40186: a name widened a template | `identity::nobody_is_called_so_that_a_template_grants_more`, `identity::a_template_can_name_all_that_is_known_of_who_asks` |
//! | A. openbao#3518: a number out of its range passed a bound | `fields::wrong_types_in_every_field_of_every_endpoint_are_refused_quietly` |
//! | E. CVE-2021-32923, CVE-2020-12757: a renewal in the last second, a role's or mount's TTL that was not looked at | `lives::a_token_lives_as_long_as_role_mount_and_server_allow_together_to_the_second`, `lives::a_lease_is_renewed_by_no_door_beyond_the_longest_life_that_it_was_given_or_its_mount_has`, `tokens::renewal_never_reaches_beyond_the_longest_life` |
//! | E. CVE-2020-25816: leases outlived a batch token | `lives::what_a_token_was_leased_ends_with_it_of_whatever_kind_it_is`, `tokens::a_batch_token_does_not_outlive_its_parent` |
//! | E. (0.10.2): what ended while the server was down came back immortal | `tokens::a_token_that_ended_while_the_server_was_down_is_dead`, `lives::a_lease_that_ended_while_the_server_was_down_is_taken_back_at_its_start` |
//! | E. CVE-2020-7220, CVE-2026-42186: an unmount left something behind | `mounts::an_unmount_leaves_nothing_behind`, `mounts::an_unmount_that_crashes_in_the_middle_is_finished` |
//! | E. CVE-2026-55774: a lease's id was a permission | `foreign::a_handle_alone_is_no_permission`, `lease_ends::the_older_names_lead_through_the_same_doors` |
//! | E. openbao#2414: counts of irrevocable leases were wrong | `lease_ends::the_counts_of_leases_obey_a_conservation_law` |
//! | F. CVE-2026-5807, CVE-2025-4656, CVE-2025-52894: anybody cancelled a ceremony | `seal::a_root_token_is_made_by_a_quorum_only`, `verification::a_ceremony_is_cancelled_by_who_names_it_and_survives_a_stranger`, `seal::an_open_ceremony_cannot_be_used_by_a_stranger_without_its_nonce` |
//! | F. CVE-2022-36129, CVE-2021-3282, CVE-2021-27668, CVE-2021-3024, CVE-2024-8185: operators' endpoints were open | `paths::every_endpoint_is_public_or_for_tokens_or_for_sudo_and_written_down`, `paths::every_other_endpoint_refuses_who_has_no_token`, `paths::no_sudo_endpoint_answers_who_has_everything_but_sudo` |
//! | F. CVE-2020-25594: mounts could be found by strangers | `policies::unknown_and_forbidden_cannot_be_told_apart` |
//! | F. openbao#2619: a rotation lost every share | `held::after_every_ceremony_the_store_opens_with_the_shares_that_people_hold_and_with_no_others` |
//! | F. openbao#2505: a store of another version did not open by itself | `by_itself::the_key_is_changed_by_the_configuration`, `by_itself::a_store_moves_from_shares_to_a_key_and_back_with_the_shares_that_people_hold`; between versions once there are two |
//! | G. CVE-2024-8365, CVE-2025-62513, CVE-2026-46358: audit showed tokens, raw bodies, headers | `audit::a_secret_in_any_place_of_a_request_or_answer_is_in_no_output`, `canary::a_secret_in_every_place_of_many_odd_requests_is_told_nowhere` |
//! | G. CVE-2025-4166, CVE-2025-52893: an error gave back what it could not read | `input::broken_json_is_refused_without_its_content`, `fields::wrong_types_in_every_field_of_every_endpoint_are_refused_quietly` |
//! | G. CVE-2024-0831, CVE-2024-2877: one device's options leaked into another, headers on another node | `audit::one_device_that_shows_all_makes_no_other_show_it`, `audit::headers_are_shown_as_the_list_says_and_those_with_tokens_never` |
//! | G. CVE-2020-13223: credentials of the environment in the log | `leaks::nothing_of_the_environment_is_told_by_a_server_that_starts_serves_and_ends` |
//! | G. CVE-2018-19786, CVE-2022-25244: keys in the log of a damaged store, or read back from a configuration | `leaks::a_store_that_is_damaged_anywhere_tells_nothing_of_the_keys_that_should_open_it`, `leaks::no_read_of_any_endpoint_gives_back_a_secret_that_was_configured` |
//! | G. CVE-2026-4525: an engine saw the caller's token | `mounts::a_mount_lets_no_header_through_that_carries_a_token_however_it_is_written` |
//! | G. CVE-2026-87993, CVE-2022-38149, GHSA-444v-8vxr-p36h: a template's error told a secret | `tests::an_error_never_shows_a_value`, `outages::no_value_and_no_token_is_ever_logged` |
//! | G. openbao#3673: refusals by a limit were not audited | `limits::refusals_are_audited_where_that_is_asked_for` |
//! | H. CVE-2025-6203, CVE-2025-59043, CVE-2025-12044: deep and wide JSON, limits after the parser | `input::what_is_too_large_too_deep_or_too_wide_is_refused_and_the_server_lives`, `memory::two_hundred_hostile_bodies_at_once_cost_a_bounded_amount_of_memory`, `limits::a_limit_holds_before_a_token_or_a_body_is_looked_at` |
//! | H. CVE-2023-6337, CVE-2023-5954: memory that was never given back | `memory::what_is_held_after_many_requests_is_what_was_held_after_fewer` |
//! | H. CVE-2024-6468: a client ended the listener | `connections::what_is_no_http_ends_its_own_connection_only`, `tests::nonsense_ends_one_connection_only` |
//! | H. CVE-2023-3774, CVE-2021-45042, CVE-2026-55776: panics by input | `fields::wrong_types_in_every_field_of_every_endpoint_are_refused_quietly`, `input::odd_requests_are_answered`, `tests::a_handler_that_panics_answers_500_and_the_connection_goes_on` |
//! | H. CVE-2026-39396: something small became large (nothing is unpacked here) | `advisories_rest::a_body_that_says_it_is_packed_is_not_unpacked` |
//! | H. CVE-2026-15972, CVE-2026-87106: connections that never begin | `connections::who_sends_nothing_or_half_is_let_go`, `connections::one_address_cannot_take_every_place`, `tests::a_handshake_that_never_ends_is_cut` |
//! | J. CVE-2026-39946, CVE-2023-0620: names became SQL | `injection::no_text_in_any_place_of_a_request_becomes_a_statement_a_page_or_a_header`, `injection::a_hostile_text_that_may_be_kept_comes_back_as_it_was` |
//! | J. CVE-2023-2121, CVE-2023-38554, CVE-2026-33758: text became HTML, answers were kept | `injection::no_text_in_any_place_of_a_request_becomes_a_statement_a_page_or_a_header` |
//! | J. answers split by a line break | `injection::what_would_split_an_answer_is_not_kept_where_headers_come_from` |
//! | M. two writers with one version both won | `linear::what_clients_see_of_one_secret_at_once_can_have_happened_one_after_the_other`, `linear::nor_does_a_disk_change_that`, `kv::of_writers_who_follow_the_same_version_one_wins` |
//! | M. openbao#3556, openbao#2625, openbao#2630, openbao#3223: deadlocks | `kill::a_storm_of_hangups_is_no_trouble_and_an_orderly_end_loses_nothing`, `mounts::of_many_who_mount_at_one_path_one_succeeds`, `seal::sealing_under_load_leaves_every_request_answered` |
//! | M. openbao#3555, openbao#3083, openbao#2822, openbao#2953: another node's caches stayed old | `two_nodes::what_is_ended_on_one_node_is_over_on_the_other_within_a_second`, `two_nodes::what_begins_on_one_node_has_begun_on_the_other_within_a_second`, `two_nodes::counts_are_exact_on_two_nodes_whatever_the_feed_says` |
//! | N. a fix of one endpoint left its neighbours open | `naming::every_writer_of_policies_is_in_the_table`, `foreign::a_handle_of_another_mount_opens_and_changes_nothing`, `paths::every_endpoint_is_public_or_for_tokens_or_for_sudo_and_written_down` |
//!
//! CVE-2020-10661, CVE-2020-35453 are about namespaces, CVE-2026-55770 about LDAP: there is neither. CVE-2021-42135 is a warning of `policy lint`.

use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn a_body_that_says_it_is_packed_is_not_unpacked() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    // Ten bytes that would be a stream of many more, and one that is no stream at all.
    for coding in ["gzip", "deflate", "br", "zstd", "x-gzip", "gzip, gzip"] {
        let packed = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff".to_vec();
        server.call("PUT", "kv/a").bytes(packed).header("content-encoding", coding).await.is(400);
        let plain = server.call("PUT", "kv/b").json(&json!({"k": "v"})).header("content-encoding", coding).await;
        assert!(matches!(plain.status, 204 | 400 | 415), "{plain:?}");
    }
    server.get("kv/a").await.is(404);
    // Nor is anything packed on its way out, where its length would tell of its content.
    let answer = server.get("sys/mounts").header("accept-encoding", "gzip, br").await.ok();
    assert_eq!(answer.header("content-encoding"), "");
}
