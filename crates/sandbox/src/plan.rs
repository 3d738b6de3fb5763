//! What the controller tells the launcher about one sandbox.

use std::path::PathBuf;

use crate::spec::Bind;
use crate::wire::{Decoder, Encoder, Malformed};

/// Everything that a new sandbox's first process must know, with nothing left to look up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// `cgroup.procs` files that the first process is written to.
    pub(crate) cgroup_procs: Vec<PathBuf>,
    /// A directory that may be mounted on; for a writable layer on disk, the directory in which
    /// it is made.
    pub(crate) base: PathBuf,
    /// Bound of the writable layer when it is in memory; `None` when it is in `base`.
    pub(crate) memory_layer: Option<u64>,
    /// Bound of `/tmp` and of `/dev/shm`, bytes.
    pub(crate) tmp_bytes: u64,
    /// Lowest first.
    pub(crate) layers: Vec<PathBuf>,
    /// In the order in which they are mounted.
    pub(crate) binds: Vec<Bind>,
    /// Whether it gets a network of its own.
    pub(crate) own_network: bool,
    /// Open files per process.
    pub(crate) open_files: u64,
    /// Bound on processes to set as a resource limit, where no cgroup bounds them.
    pub(crate) processes: Option<u64>,
}

impl Plan {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.list(self.cgroup_procs.iter(), |out, path| {
            out.os(path);
        });
        out.os(&self.base);
        option(&mut out, self.memory_layer);
        out.u64(self.tmp_bytes);
        out.list(self.layers.iter(), |out, path| {
            out.os(path);
        });
        out.list(self.binds.iter(), |out, bind| {
            out.os(&bind.source).os(&bind.target).bool(bind.writable);
        });
        out.bool(self.own_network).u64(self.open_files);
        option(&mut out, self.processes);
        out.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder(bytes);
        Ok(Self {
            cgroup_procs: input.list(Decoder::path)?,
            base: input.path()?,
            memory_layer: optional(&mut input)?,
            tmp_bytes: input.u64()?,
            layers: input.list(Decoder::path)?,
            binds: input.list(|input| {
                Ok(Bind { source: input.path()?, target: input.path()?, writable: input.bool()? })
            })?,
            own_network: input.bool()?,
            open_files: input.u64()?,
            processes: optional(&mut input)?,
        })
    }
}

fn option(out: &mut Encoder, value: Option<u64>) {
    out.bool(value.is_some()).u64(value.unwrap_or(0));
}

fn optional(input: &mut Decoder<'_>) -> Result<Option<u64>, Malformed> {
    let some = input.bool()?;
    let value = input.u64()?;
    Ok(some.then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_the_wire() {
        let plan = Plan {
            cgroup_procs: vec!["/c".into()],
            base: "/b".into(),
            memory_layer: None,
            tmp_bytes: 3,
            layers: vec!["/l 1".into(), "/l,2:".into()],
            binds: vec![Bind { source: "/s".into(), target: "/t".into(), writable: true }],
            own_network: true,
            open_files: 7,
            processes: Some(9),
        };
        assert_eq!(Plan::decode(&plan.encode()).unwrap(), plan);
    }
}
