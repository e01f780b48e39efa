//! Runs the cases, a few at a time, and names those that failed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::place::Place;
use crate::world::World;

/// Cases at once; each may open as many connections as one store.
const CONCURRENT: usize = 4;

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Case {
    name: &'static str,
    run: fn(World) -> Running,
}

macro_rules! cases {
    ($($module:ident :: { $($case:ident),* $(,)? })*) => {
        &[$($(Case {
            name: concat!(stringify!($module), "_", stringify!($case)),
            run: |world| Box::pin(crate::$module::$case(world)),
        }),*),*]
    };
}

const CASES: &[Case] = cases! {
    schema::{
        migrations_run_from_empty_twice_and_at_once,
        every_statement_prepares,
        what_was_stored_is_there_after_reopening,
        both_databases_have_the_same_columns,
        a_text_with_nul_is_refused_alike,
    }
    projects::{
        bootstrap_is_idempotent_and_race_free,
        projects_and_orgs_are_found_again,
        a_name_is_taken_once_in_an_org,
        quotas_are_kept,
    }
    pipeline_runs::{
        a_run_comes_back_as_it_went_in_and_its_ending_stays,
        a_cancel_and_a_save_do_not_undo_each_other,
        runs_are_listed_by_scope_and_state_newest_first,
        a_key_makes_one_run_until_that_is_taken_back,
    }
    builds::{
        a_build_comes_back_as_it_went_in_and_its_ending_stays,
        a_cancel_and_a_save_of_a_build_do_not_undo_each_other,
        builds_are_listed_by_scope_state_and_name,
        a_key_makes_one_build,
        a_build_completes_with_its_image_or_not_at_all,
        steps_are_found_by_what_they_were_made_from_and_listed_nowhere,
        a_step_is_retired_only_where_nothing_has_used_it_since,
        a_project_has_so_many_builds_on_their_way_and_images_of_them,
        ended_builds_are_purged_when_what_they_made_is_gone,
    }
    keys::{
        keys_are_found_by_the_hash_of_their_secret,
        a_revocation_stands,
        last_use_is_noted_once_a_minute,
        a_secret_setting_is_made_once_by_racing_callers,
    }
    sandboxes::{
        a_sandbox_comes_back_as_it_went_in,
        a_sandbox_needs_its_project_and_image,
        others_do_not_see_a_sandbox,
        a_transition_needs_the_state_it_starts_from,
        of_racing_transitions_one_wins,
        times_and_reasons_follow_the_states,
        lists_filter_by_state_and_metadata,
        expiry_and_activity_move,
        live_sandboxes_are_those_the_model_calls_live,
        a_lifetime_is_set_once_per_key,
        lists_can_be_of_one_project,
    }
    quota::{
        a_keys_own_quota_bounds_what_it_made_and_nothing_else,
        fifty_parallel_inserts_fill_a_quota_of_ten_exactly,
        each_bound_is_named_with_limit_and_use,
        ended_sandboxes_free_their_place,
        a_refused_insert_leaves_its_idempotency_key_free,
    }
    commands::{
        a_command_comes_back_as_it_went_in,
        the_same_command_id_is_inserted_once,
        an_ending_is_written_once,
        steps_taken_together_count_like_single_ones,
        a_command_never_goes_back,
        of_racing_endings_one_stands,
        a_forced_cancel_stays_forced,
        everything_unfinished_is_lost_with_the_guest,
    }
    code_contexts::{
        a_context_comes_back_as_it_went_in_until_it_is_deleted,
        a_language_has_one_default_and_a_sandbox_so_many_contexts,
        generations_only_grow_and_an_unused_context_can_be_taken_back,
        commands_of_the_engine_are_kept_and_not_listed,
    }
    idempotency::{
        of_a_hundred_claims_one_is_new,
        another_payload_is_a_conflict,
        a_claim_ends_after_a_day,
        keys_of_others_are_other_keys,
        a_hundred_equal_creates_make_one_sandbox,
        equal_command_starts_make_one_command,
    }
    images::{
        an_image_comes_back_as_it_went_in,
        a_name_moves_to_the_new_image,
        a_project_s_own_name_wins_over_a_shared_one,
        an_image_in_use_is_not_deleted,
        a_withdrawn_image_is_nobodys_and_goes_with_its_last_sandbox,
        deletion_and_creation_at_once_never_both_win,
        only_layers_of_present_images_are_referenced,
        lists_show_own_and_shared_images_once,
    }
    objects::{
        an_object_comes_back_as_it_went_in,
        others_do_not_see_an_object,
        equal_content_is_kept_once_until_nobody_refers_to_it,
        release_and_reference_at_once_never_both_win,
        a_deletion_stands_and_keeps_the_facts,
        an_upload_is_replaced_until_it_is_sealed,
        a_quota_of_bytes_is_filled_exactly,
        replacing_an_upload_counts_its_content_once,
        equal_requests_make_one_object,
        lists_of_objects_filter_and_page,
        what_is_overdue_is_found,
    }
    templates::{
        setting_again_makes_the_next_version,
        versions_are_found_by_number_and_name_or_id,
        versions_are_listed_newest_first_and_pinned_by_id,
        racing_setters_get_different_versions,
        a_project_s_own_template_wins_over_a_shared_one,
        a_deleted_template_still_resolves_by_version,
    }
    previews::{
        a_preview_comes_back_as_it_went_in,
        of_fifty_parallel_creations_of_a_port_one_is_new,
        a_sandbox_has_no_more_active_previews_than_its_bound,
        a_revoked_or_expired_preview_frees_its_port,
        an_ended_sandbox_gets_no_preview_and_keeps_those_it_had,
        a_link_is_taken_once,
    }
    secrets::{
        a_secret_comes_back_as_it_went_in_and_is_replaced_in_place,
        a_name_is_one_projects_own,
        what_is_sealed_for_another_id_replaces_nothing,
        of_racing_first_puts_one_is_kept_whole,
        a_project_keeps_so_many_secrets,
        a_deleted_secret_leaves_nothing,
    }
    network_policies::{
        a_policy_comes_back_as_it_went_in_and_is_its_projects,
        a_change_of_a_policy_that_has_changed_since_changes_nothing,
        a_project_has_no_more_policies_than_its_bound,
        a_repeated_request_finds_the_first_policy,
        a_policy_stays_while_a_live_sandbox_follows_it,
    }
    axons::{
        an_axon_comes_back_as_it_went_in_and_is_its_projects,
        a_project_has_no_more_live_axons_than_its_bound,
        racing_publishers_leave_no_gap_and_no_double,
        an_axon_keeps_as_many_events_and_bytes_as_it_may,
        the_axons_of_a_project_keep_as_many_bytes_together_as_they_may,
        what_a_project_holds_is_counted_and_never_above_its_bound,
        what_axons_of_older_servers_hold_is_counted,
        an_event_is_published_once_per_key,
        a_refused_event_takes_no_number,
        events_are_read_from_both_ends_by_their_project_alone,
        a_deleted_axon_keeps_its_facts_and_no_events,
        the_oldest_deleted_axons_are_forgotten,
    }
    gateways::{
        a_gateway_comes_back_as_it_went_in_and_is_its_projects,
        a_gateway_is_of_one_kind_and_the_newest_has_its_name,
        a_change_of_a_gateway_that_has_changed_since_changes_nothing,
        a_project_has_no_more_gateways_than_its_bound,
        a_repeated_request_finds_the_first_gateway,
        a_secret_is_found_by_its_id_in_its_project,
    }
    ssh_keys::{
        an_ssh_key_comes_back_as_it_went_in_until_it_is_deleted,
        a_key_is_of_one_sandbox_and_once_in_it,
        a_sandbox_has_no_more_ssh_keys_than_its_bound,
        an_ended_sandbox_gets_no_ssh_key_and_those_it_had_are_purged,
    }
    tunnels::{
        a_tunnel_comes_back_as_it_went_in_until_it_is_deleted,
        of_racing_tunnels_of_a_sandbox_one_is_new,
        a_tunnel_is_made_with_its_sandbox_or_not_at_all,
        an_ended_sandbox_gets_no_tunnel_and_its_own_is_purged,
        a_terminal_s_name_is_one_command_s_in_its_sandbox,
    }
    snapshots::{
        a_snapshot_comes_back_as_it_went_in_and_is_described_anew,
        deleted_snapshots_are_found_and_not_listed,
        a_repeated_request_finds_the_first_snapshot,
    }
    usage::{
        totals_add_up_over_a_period,
        a_record_is_counted_once,
        each_sandbox_of_a_period_has_its_totals,
        the_mark_moves_with_the_record,
        an_end_is_recorded_with_what_was_used_or_neither_is,
    }
    audit::{
        events_are_listed_by_scope_and_filter,
        a_batch_of_events_is_all_or_none,
    }
    pages::{
        a_walk_has_no_gap_and_no_repeat_under_inserts,
        rows_of_one_instant_are_walked_by_id,
        every_list_pages,
    }
};

pub(crate) fn run(place: impl Fn(&str) -> Place) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let failed = runtime.block_on(run_all(place));
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

async fn run_all(place: impl Fn(&str) -> Place) -> Vec<&'static str> {
    let gate = Arc::new(Semaphore::new(CONCURRENT));
    let mut running = JoinSet::new();
    for case in CASES {
        let (place, gate) = (place(case.name), Arc::clone(&gate));
        running.spawn(async move {
            let _turn = gate.acquire().await.expect("the gate stays open");
            (case.name, run_one(case, place).await)
        });
    }
    let mut failed = Vec::new();
    while let Some(done) = running.join_next().await {
        let (name, passed) = done.expect("a case's panic is caught in its own task");
        println!("{} {name}", if passed { "ok    " } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    failed
}

async fn run_one(case: &'static Case, place: Place) -> bool {
    let body = {
        let place = place.clone();
        async move { (case.run)(World::begin(place).await).await }
    };
    let passed = tokio::spawn(body).await.is_ok();
    place.remove().await;
    passed
}
