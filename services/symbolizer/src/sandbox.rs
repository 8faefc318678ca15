//! What a worker gives up before it reads hostile bytes. From then on it can compute, take some
//! memory, write to its two open descriptors, and end. What the system lacks for that is told.
//!
//! The bounds hold twice over: `seccomp` has no call by which a path, a socket or a process could
//! be had, and `landlock` would refuse them.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

/// What a worker may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) memory_max: u64,
    pub(crate) time_max: Duration,
    pub(crate) output_max: u64,
}

/// The program's own variables and stacks, which are no memory of the conversion.
const OWN_MEMORY: u64 = 16 << 20;
/// Addresses that a program takes without having memory behind them: its code, and what its
/// allocator sets aside.
const OWN_ADDRESSES: u64 = 1 << 30;

/// Gives up everything for the rest of the process. Says what could not be given up, if that is
/// for want of support; what fails otherwise is an error.
pub(crate) fn enter(bounds: &Bounds, input_bytes: u64) -> Result<Vec<String>, String> {
    limit(bounds, input_bytes).map_err(|error| format!("limit the worker: {error}"))?;
    system::enter()
}

/// Why nothing is converted at all.
pub(crate) fn refusal(lacks: &[String]) -> String {
    format!(
        "uploaded files are not read without a sandbox: {}. Setting conversion.sandbox to \
         `preferred` reads them all the same",
        lacks.join("; ")
    )
}

fn limit(bounds: &Bounds, input_bytes: u64) -> rustix::io::Result<()> {
    let memory = bounds.memory_max.saturating_add(OWN_MEMORY);
    let seconds = bounds.time_max.as_secs().max(1);
    let limit = |resource, current: u64, maximum: u64| {
        let new = Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        };
        setrlimit(resource, new)
    };
    limit(Resource::Data, memory, memory)?;
    #[cfg(target_os = "linux")]
    {
        let addresses = memory
            .saturating_add(input_bytes)
            .saturating_add(OWN_ADDRESSES);
        limit(Resource::As, addresses, addresses)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (input_bytes, OWN_ADDRESSES);
    // The first signal says why, the second can't be held off.
    limit(Resource::Cpu, seconds, seconds.saturating_add(1))?;
    limit(Resource::Fsize, bounds.output_max, bounds.output_max)?;
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Nproc, 0, 0)
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn enter() -> Result<Vec<String>, String> {
        Ok(vec![
            "this system has neither landlock nor seccomp".to_owned(),
        ])
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::collections::BTreeMap;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope,
    };
    use rustix::process::{Resource, Rlimit, getpid, setrlimit};
    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, TargetArch,
    };

    /// What is refused is everything that this release of landlock knows; an older kernel refuses
    /// what it knows.
    const KNOWN: ABI = ABI::V6;

    pub(super) fn enter() -> Result<Vec<String>, String> {
        let mut lacks = Vec::new();
        if !close_inherited() {
            lacks.push("the kernel can't close all descriptors at once".to_owned());
        }
        match refuse_paths() {
            Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => {}
            Ok(RulesetStatus::NotEnforced) => {
                lacks.push("the kernel has no landlock, or it is not enabled".to_owned());
            }
            Err(error) => return Err(format!("enter landlock: {error}")),
        }
        // The ruleset's own descriptor is closed; there will be no others.
        let none = Rlimit {
            current: Some(3),
            maximum: Some(3),
        };
        setrlimit(Resource::Nofile, none).map_err(|error| format!("limit the worker: {error}"))?;
        if let Err(error) = refuse_calls() {
            lacks.push(format!("seccomp can't be entered: {error}"));
        }
        Ok(lacks)
    }

    /// Everything but the three standard descriptors.
    fn close_inherited() -> bool {
        #[expect(unsafe_code, reason = "the libraries at hand have no safe call for it")]
        // SAFETY: this is a worker's only thread, and no value in it owns a descriptor above two.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
        closed == 0
    }

    fn refuse_paths() -> Result<RulesetStatus, RulesetError> {
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(AccessNet::from_all(KNOWN))?
            .scope(Scope::from_all(KNOWN))?
            .create()?;
        Ok(ruleset.restrict_self()?.ruleset)
    }

    fn refuse_calls() -> Result<(), seccompiler::Error> {
        let arch = TargetArch::try_from(std::env::consts::ARCH)?;
        let (others, allowed) = (SeccompAction::KillProcess, SeccompAction::Allow);
        let filter = SeccompFilter::new(rules()?, others, allowed, arch)?;
        let program = BpfProgram::try_from(filter)?;
        seccompiler::apply_filter(&program)
    }

    /// The calls that are left, and with which arguments.
    fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
        let only = |argument, op, value| {
            let condition =
                SeccompCondition::new(argument, SeccompCmpArgLen::Qword, op, value as u64)?;
            SeccompRule::new(vec![condition])
        };
        let is = |argument, value: i64| only(argument, SeccompCmpOp::Eq, value);
        let not_executable = |argument| {
            let mask = SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
            only(argument, mask, 0)
        };
        let own = i64::from(getpid().as_raw_nonzero().get());
        let mut rules = BTreeMap::from([
            (libc::SYS_write, vec![is(0, 1)?, is(0, 2)?]),
            (libc::SYS_mmap, vec![not_executable(2)?]),
            (libc::SYS_mprotect, vec![not_executable(2)?]),
            // How a program aborts.
            (libc::SYS_tgkill, vec![is(0, own)?]),
            // An allocator names what it maps.
            (libc::SYS_prctl, vec![is(0, libc::PR_SET_VMA.into())?]),
        ]);
        for call in [
            // Memory.
            libc::SYS_brk,
            libc::SYS_munmap,
            libc::SYS_mremap,
            libc::SYS_madvise,
            // Locks, clocks and seeds, of allocators and hash tables.
            libc::SYS_futex,
            libc::SYS_sched_yield,
            libc::SYS_clock_gettime,
            libc::SYS_getrandom,
            // Crashing in order.
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigreturn,
            libc::SYS_sigaltstack,
            libc::SYS_getpid,
            libc::SYS_gettid,
            // Ending.
            libc::SYS_close,
            libc::SYS_exit,
            libc::SYS_exit_group,
        ] {
            rules.insert(call, Vec::new());
        }
        Ok(rules)
    }
}
