//! Which work steps back where cores are few: that of which much was done, behind that of which
//! little was.
//!
//! Least attained service first, in two levels (Nuijens, Wierman: "The foreground-background queue",
//! 2008). Of one tenant what each job had counts, between tenants what all jobs had that they have
//! in flight, so that many long ones of a tenant do not begin anew all the time. A tenant goes first
//! until it had much more of the cores than the others: in the long run all have the same share.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use cairn_model::TenantId;

/// What had less than this goes first in any case.
const LITTLE: Duration = Duration::from_millis(50);
/// How long work is still there that wants no core any more: it may only wait for something.
const LATELY: Duration = Duration::from_millis(100);
/// How much more of the cores than others a tenant may have and still go first.
const AHEAD_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Standings {
    tenants: BTreeMap<TenantId, Tenant>,
    last: u64,
}

/// One with jobs in flight, or one that had more than others that have some.
#[derive(Debug, Default)]
struct Tenant {
    jobs: HashMap<u64, Standing>,
    /// Of all of them together.
    in_flight: Standing,
    /// What it had so far; who comes had as much as who had least of those that are there.
    had: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Of the cores.
    had: Duration,
    /// Cores that it waits for or has.
    wants: usize,
    /// When it asked for one or gave one back.
    seen: Option<Instant>,
}

impl Standings {
    /// The job's name from here on.
    pub(super) fn begin(&mut self, tenant: &TenantId) -> u64 {
        self.last += 1;
        let tenant = self.tenants.entry(tenant.clone()).or_default();
        tenant.jobs.insert(self.last, Standing::default());
        self.last
    }

    pub(super) fn end(&mut self, (tenant, job): (&TenantId, u64), now: Instant) {
        if let Some(of) = self.tenants.get_mut(tenant)
            && let Some(standing) = of.jobs.remove(&job)
        {
            of.in_flight.had = of.in_flight.had.saturating_sub(standing.had);
        }
        let least = self.least(now);
        // Who had much while nobody else wanted any owes nothing.
        let is_ahead = |tenant: &Tenant| least.is_some_and(|least| tenant.had > least);
        self.tenants
            .retain(|_, tenant| !tenant.jobs.is_empty() || is_ahead(tenant));
    }

    /// What the tenant had that had least of those that are there.
    fn least(&self, now: Instant) -> Option<Duration> {
        let there = self.tenants.values().filter(|tenant| tenant.is_there(now));
        there.map(|tenant| tenant.had).min()
    }

    /// A job wants one core more.
    pub(super) fn ask(&mut self, of: (&TenantId, u64), now: Instant) {
        let least = self.least(now);
        self.update(of, |tenant, standing| {
            if !tenant.is_there(now) {
                tenant.had = tenant.had.max(least.unwrap_or_default());
            }
            standing.changes(now, |wants| wants + 1);
            tenant.in_flight.changes(now, |wants| wants + 1);
        });
    }

    /// A job wants one core less.
    pub(super) fn leave(&mut self, of: (&TenantId, u64), now: Instant) {
        self.update(of, |tenant, standing| {
            standing.changes(now, |wants| wants.saturating_sub(1));
            tenant
                .in_flight
                .changes(now, |wants| wants.saturating_sub(1));
        });
    }

    /// Counts what a job had of a core.
    pub(super) fn spend(&mut self, of: (&TenantId, u64), time: Duration) {
        self.update(of, |tenant, standing| {
            for had in [
                &mut standing.had,
                &mut tenant.in_flight.had,
                &mut tenant.had,
            ] {
                *had += time;
            }
        });
    }

    fn update(
        &mut self,
        (tenant, job): (&TenantId, u64),
        change: impl FnOnce(&mut Tenant, &mut Standing),
    ) {
        let Some(tenant) = self.tenants.get_mut(tenant) else {
            return;
        };
        let Some(mut standing) = tenant.jobs.get(&job).copied() else {
            return;
        };
        change(tenant, &mut standing);
        tenant.jobs.insert(job, standing);
    }

    /// Whether a job that wants a core lets others go first.
    pub(super) fn steps_back(&self, (tenant, job): (&TenantId, u64), now: Instant) -> bool {
        let Some(own) = self.tenants.get(tenant) else {
            return false;
        };
        let Some(standing) = own.jobs.get(&job) else {
            return false;
        };
        let is_behind = |(id, other): (&u64, &Standing)| {
            *id != job && other.is_there(now) && standing.outweighs(other)
        };
        let is_behind_tenant = |(id, other): (&TenantId, &Tenant)| {
            id != tenant
                && other.is_there(now)
                && own.in_flight.outweighs(&other.in_flight)
                && other.had <= own.had + AHEAD_MAX
        };
        own.jobs.iter().any(is_behind) || self.tenants.iter().any(is_behind_tenant)
    }
}

impl Tenant {
    fn is_there(&self, now: Instant) -> bool {
        !self.jobs.is_empty() && self.in_flight.is_there(now)
    }
}

impl Standing {
    /// It wants more cores, or fewer.
    fn changes(&mut self, now: Instant, wants: impl Fn(usize) -> usize) {
        self.wants = wants(self.wants);
        self.seen = Some(now);
    }

    /// Whether it wants a core, or did so a moment ago.
    fn is_there(&self, now: Instant) -> bool {
        self.wants > 0 || self.seen.is_some_and(|seen| now - seen < LATELY)
    }

    fn outweighs(&self, other: &Self) -> bool {
        self.had > LITTLE.max(other.had * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    struct Stand {
        standings: Standings,
        now: Instant,
    }

    impl Stand {
        fn new() -> Self {
            Self {
                standings: Standings::default(),
                now: crate::clock::stopwatch().into_std(),
            }
        }

        fn tenant(name: &str) -> TenantId {
            TenantId::parse(name).expect("valid")
        }

        /// A job that had so many milliseconds of the cores.
        fn job(&mut self, tenant: &'static str, had: u32) -> (&'static str, u64) {
            let job = (tenant, self.standings.begin(&Self::tenant(tenant)));
            self.asks(job);
            self.had(job, had);
            self.leaves(job);
            job
        }

        fn had(&mut self, (tenant, job): (&str, u64), had: u32) {
            let tenant = Self::tenant(tenant);
            self.standings.spend((&tenant, job), MS * had);
        }

        fn asks(&mut self, (tenant, job): (&str, u64)) {
            self.standings.ask((&Self::tenant(tenant), job), self.now);
        }

        fn leaves(&mut self, (tenant, job): (&str, u64)) {
            self.standings.leave((&Self::tenant(tenant), job), self.now);
        }

        fn end(&mut self, (tenant, job): (&str, u64)) {
            self.standings.end((&Self::tenant(tenant), job), self.now);
        }

        fn steps_back(&self, (tenant, job): (&str, u64)) -> bool {
            let tenant = Self::tenant(tenant);
            self.standings.steps_back((&tenant, job), self.now)
        }

        /// How many milliseconds short jobs of this tenant, one after the other, have before the
        /// long one of another goes first; that is looked for until they had five seconds.
        fn had_by_short_ones(&mut self, tenant: &'static str, long: (&str, u64)) -> u32 {
            let mut had = 0;
            while had < 5_000 {
                let short = self.job(tenant, 40);
                let is_first = self.steps_back(long);
                self.end(short);
                if !is_first {
                    break;
                }
                had += 40;
            }
            had
        }
    }

    #[test]
    fn whoever_is_alone_goes_first_however_much_it_had() {
        let mut stand = Stand::new();
        let job = stand.job("a", 100_000);
        assert!(!stand.steps_back(job));
    }

    #[test]
    fn of_one_tenant_the_job_steps_back_that_had_twice_as_much_as_another() {
        let mut stand = Stand::new();
        let (long, short) = (stand.job("a", 100), stand.job("a", 45));
        assert!(stand.steps_back(long));
        assert!(!stand.steps_back(short));
        stand.had(short, 10);
        assert!(!stand.steps_back(long), "not twice as much any more");
        stand.had(long, 50);
        assert!(stand.steps_back(long));
        stand.end(short);
        assert!(!stand.steps_back(long));
    }

    #[test]
    fn little_goes_first_in_any_case() {
        let mut stand = Stand::new();
        let (little, nothing) = (stand.job("a", 50), stand.job("b", 0));
        assert!(!stand.steps_back(little));
        assert!(!stand.steps_back(nothing));
        stand.had(little, 1);
        assert!(stand.steps_back(little));
    }

    #[test]
    fn new_jobs_of_a_tenant_that_has_long_ones_in_flight_step_back_behind_those_of_others() {
        let mut stand = Stand::new();
        let (long, new) = (stand.job("a", 200), stand.job("a", 0));
        assert!(!stand.steps_back(new), "nobody else is there");
        let other = stand.job("b", 30);
        assert!(stand.steps_back(new));
        assert!(!stand.steps_back(other));
        stand.end(long);
        assert!(!stand.steps_back(new), "what is over does not count");
    }

    #[test]
    fn what_waits_for_something_else_is_waited_for_only_for_a_moment() {
        let mut stand = Stand::new();
        let (long, waiting) = (stand.job("a", 500), stand.job("b", 10));
        stand.now += LATELY / 2;
        assert!(stand.steps_back(long));
        stand.now += LATELY;
        assert!(!stand.steps_back(long));
        stand.asks(waiting);
        stand.now += LATELY * 10;
        assert!(stand.steps_back(long), "it wants a core");
    }

    #[test]
    fn who_wants_nothing_for_long_is_no_measure_for_those_who_come() {
        let mut stand = Stand::new();
        stand.job("idle", 0);
        let long = stand.job("long", 5_000);
        stand.asks(long);
        stand.now += LATELY;
        let had = stand.had_by_short_ones("short", long);
        assert!((1_000..1_200).contains(&had), "{had} ms");
    }

    #[test]
    fn short_jobs_without_end_go_first_until_their_tenant_had_much_more_than_others() {
        let mut stand = Stand::new();
        let long = stand.job("a", 100);
        let had = stand.had_by_short_ones("b", long);
        assert!((1_000..1_200).contains(&had), "{had} ms");
        // The other one catches up.
        stand.had(long, 200);
        stand.job("b", 40);
        assert!(stand.steps_back(long));
    }

    #[test]
    fn who_had_much_while_nobody_else_wanted_any_owes_nothing() {
        let mut stand = Stand::new();
        let before = stand.job("a", 5_000);
        stand.end(before);
        let (short, long) = (stand.job("a", 10), stand.job("b", 100));
        assert!(stand.steps_back(long));
        assert!(!stand.steps_back(short));
    }

    #[test]
    fn nothing_is_kept_of_tenants_without_jobs() {
        let mut stand = Stand::new();
        for round in 0..10 {
            let (one, two) = (stand.job("a", round * 100), stand.job("b", 700));
            stand.end(two);
            stand.end(one);
        }
        assert!(stand.standings.tenants.is_empty());
    }
}
