//! The profiles that recordings hold, and the events that mean them.

/// What kind of profile, called as Pyroscope calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Cpu,
    Wall,
    AllocInNewTlab,
    AllocOutsideTlab,
    AllocSample,
    Mutex,
    Block,
    Live,
    Malloc,
}

/// Type and unit.
type Typed = (&'static str, &'static str);

impl Kind {
    /// Each at the place of its number.
    pub(crate) const ALL: [Self; 9] = [
        Self::Cpu,
        Self::Wall,
        Self::AllocInNewTlab,
        Self::AllocOutsideTlab,
        Self::AllocSample,
        Self::Mutex,
        Self::Block,
        Self::Live,
        Self::Malloc,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "process_cpu",
            Self::Wall => "wall",
            Self::AllocInNewTlab
            | Self::AllocOutsideTlab
            | Self::AllocSample
            | Self::Live
            | Self::Malloc => "memory",
            Self::Mutex => "mutex",
            Self::Block => "block",
        }
    }

    /// One or two.
    pub(crate) fn types(self) -> &'static [Typed] {
        match self {
            Self::Cpu => &[("cpu", "nanoseconds")],
            Self::Wall => &[("wall", "nanoseconds")],
            Self::AllocInNewTlab => &[
                ("alloc_in_new_tlab_objects", "count"),
                ("alloc_in_new_tlab_bytes", "bytes"),
            ],
            Self::AllocOutsideTlab => &[
                ("alloc_outside_tlab_objects", "count"),
                ("alloc_outside_tlab_bytes", "bytes"),
            ],
            Self::AllocSample => &[
                ("alloc_sample_objects", "count"),
                ("alloc_sample_bytes", "bytes"),
            ],
            Self::Mutex | Self::Block => &[("contentions", "count"), ("delay", "nanoseconds")],
            Self::Live => &[("live", "count")],
            Self::Malloc => &[("malloc_objects", "count"), ("malloc_bytes", "bytes")],
        }
    }

    pub(crate) fn period_type(self) -> Option<Typed> {
        match self {
            Self::Cpu => Some(("cpu", "nanoseconds")),
            Self::Wall => Some(("wall", "nanoseconds")),
            Self::AllocInNewTlab | Self::AllocOutsideTlab | Self::AllocSample => {
                Some(("space", "bytes"))
            }
            Self::Mutex => Some(("mutex", "count")),
            Self::Block => Some(("block", "count")),
            Self::Live => Some(("objects", "count")),
            Self::Malloc => None,
        }
    }
}

/// Events that are read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Setting,
    Execution,
    WallClock,
    AllocInNewTlab,
    AllocOutsideTlab,
    AllocSample,
    MonitorEnter,
    ThreadPark,
    LiveObject,
    Malloc,
}

impl Event {
    /// Settings of samples name its type.
    pub(crate) const EXECUTION: &str = "jdk.ExecutionSample";

    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "jdk.ActiveSetting" => Self::Setting,
            Self::EXECUTION => Self::Execution,
            "profiler.WallClockSample" => Self::WallClock,
            "jdk.ObjectAllocationInNewTLAB" => Self::AllocInNewTlab,
            "jdk.ObjectAllocationOutsideTLAB" => Self::AllocOutsideTlab,
            "jdk.ObjectAllocationSample" => Self::AllocSample,
            "jdk.JavaMonitorEnter" => Self::MonitorEnter,
            "jdk.ThreadPark" => Self::ThreadPark,
            "profiler.LiveObject" => Self::LiveObject,
            "profiler.Malloc" => Self::Malloc,
            _ => return None,
        })
    }
}
