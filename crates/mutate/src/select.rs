//! Choosing a few of many so that every sort is among them.

use std::collections::{BTreeMap, HashMap};

/// What is known of a thing to choose.
pub(crate) struct Traits {
    /// Its sort; each sort gets its turn.
    pub(crate) sort: usize,
    /// Where it is; within a sort, the place that was chosen least is next.
    pub(crate) place: String,
    /// What decides among equals.
    pub(crate) rank: [u8; 32],
}

/// The order in which to take things: sorts by turns, and within a sort from the places that
/// were taken from least. The order in which they are given does not matter as long as ranks
/// differ.
pub(crate) fn spread(things: &[Traits]) -> Vec<usize> {
    // For each sort, its places with what is there, best first and so last to pop.
    let mut sorts: BTreeMap<usize, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    for (index, thing) in things.iter().enumerate() {
        sorts.entry(thing.sort).or_default().entry(&thing.place).or_default().push(index);
    }
    for queue in sorts.values_mut().flat_map(|places| places.values_mut()) {
        queue.sort_by(|a, b| things[*b].rank.cmp(&things[*a].rank));
    }
    let mut taken: HashMap<&str, usize> = HashMap::new();
    let mut order = Vec::with_capacity(things.len());
    while !sorts.is_empty() {
        for places in sorts.values_mut() {
            let next = places.iter().filter_map(|(place, queue)| {
                let index = *queue.last()?;
                Some((taken.get(place).copied().unwrap_or(0), things[index].rank, *place))
            });
            let Some((.., place)) = next.min() else { continue };
            let Some(queue) = places.get_mut(place) else { continue };
            order.extend(queue.pop());
            if queue.is_empty() {
                places.remove(place);
            }
            *taken.entry(place).or_default() += 1;
        }
        sorts.retain(|_, places| !places.is_empty());
    }
    order
}
