//! What a job that began anew makes of the time before: rows that were final by then stay, what was open was
//! given up, and whatever came since is none of its business.

use tidegate_model::EventTime;

use super::bound::Place;
use super::explanation::Begun;
use super::facts::Facts;
use super::groups::Group;

/// How the job began, should a window or session that begins at `start` be of the time before.
pub(crate) fn before(facts: &Facts, start: EventTime) -> Option<Begun> {
    let (epoch, after) = (facts.start.epoch, facts.start.after);
    let of = if facts.rules.windows.is_some() { "windows that begin" } else { "sessions of events" };
    (start <= after).then_some(Begun { epoch, after, of })
}

/// Whether no row of the group comes any more: the job began anew before there was one.
pub(crate) fn never_comes(facts: &Facts, group: &Group<'_>) -> bool {
    let final_at = facts.rules.final_at(group.span.end);
    let was_open = || match facts.bindings.reached(final_at) {
        Some(epoch) => epoch >= facts.start.epoch,
        // The frontier did not come there yet, or no binding says when; it was not beyond `after` at the start.
        None => facts.bindings.newest.close_to < final_at || facts.start.after < final_at,
    };
    let has_row = !group.said.is_empty() || !group.stored.is_empty();
    before(facts, group.span.start).is_some() && !has_row && was_open()
}

/// Why a record of the group does not count, if that is because the job began anew. `never` says that the
/// group's row never comes.
pub(crate) fn left_out(facts: &Facts, group: &Group<'_>, never: bool, place: Place) -> Option<String> {
    let begun = before(facts, group.span.start)?;
    let came_since = match place {
        Place::Epoch(index) => facts.bindings.range[index].epoch >= begun.epoch,
        Place::Unbound => true,
        Place::Pruned => false,
    };
    let how = match place {
        _ if came_since => "filtered",
        _ if !never => return None,
        Place::Pruned if facts.bindings.pruned_before >= Some(begun.epoch) => "given up or filtered",
        _ => "given up",
    };
    Some(format!("{how}: {begun}"))
}
