//! Machines of their own for processes, made of network namespaces on one bridge.
//!
//! Owns addresses and packets: who can reach whom. Needs root; everything is made inside of a
//! namespace that this very program entered, so nothing of it is left behind.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, bail};

/// A network of hosts that can be cut.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub ip: Ipv4Addr,
}

const BRIDGE: &str = "hosts";
/// The address of this program on the bridge.
const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

impl Network {
    /// Makes a host for every name, and a bridge that joins them and this program.
    pub fn create(names: &[&str]) -> anyhow::Result<Self> {
        run("ip link set lo up")?;
        run(&format!("ip link add {BRIDGE} type bridge"))?;
        run(&format!("ip addr add {OWN}/24 dev {BRIDGE}"))?;
        run(&format!("ip link set {BRIDGE} up"))?;
        let mut hosts = Vec::new();
        for (name, last) in names.iter().zip(2..) {
            let host = Host {
                name: (*name).to_owned(),
                ip: Ipv4Addr::new(10, 77, 0, last),
            };
            host.create(last)
                .with_context(|| format!("make the host {name}"))?;
            hosts.push(host);
        }
        Ok(Self { hosts })
    }

    pub fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|host| host.name == name);
        found.unwrap_or_else(|| panic!("there is no host {name}"))
    }

    /// Lets packets from one host to another vanish, silently, until [`Network::heal`].
    pub fn cut(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let to = self.host(to).ip;
        self.nft(
            from,
            &format!("add rule inet faults output ip daddr {to} drop"),
        )
    }

    /// Cuts a host off from others, both ways.
    pub fn isolate(&self, host: &str, others: &[&str]) -> anyhow::Result<()> {
        for other in others {
            self.cut(host, other)?;
            self.cut(other, host)?;
        }
        Ok(())
    }

    /// Everybody reaches everybody again.
    pub fn heal(&self) -> anyhow::Result<()> {
        let all = self.hosts.iter();
        all.map(|host| host.name.clone())
            .try_for_each(|name| self.nft(&name, "flush chain inet faults output"))
    }

    fn nft(&self, host: &str, command: &str) -> anyhow::Result<()> {
        self.host(host).run(&format!("nft {command}"))
    }
}

impl Host {
    fn create(&self, number: u8) -> anyhow::Result<()> {
        let Self { name, ip } = self;
        run(&format!("ip netns add {name}"))?;
        run(&format!(
            "ip link add port{number} type veth peer name eth0 netns {name}"
        ))?;
        run(&format!("ip link set port{number} master {BRIDGE} up"))?;
        self.run(&format!("ip addr add {ip}/24 dev eth0"))?;
        self.run("ip link set eth0 up")?;
        self.run("ip link set lo up")?;
        self.run("nft add table inet faults")?;
        self.run("nft add chain inet faults output { type filter hook output priority 0 ; }")
    }

    fn run(&self, command: &str) -> anyhow::Result<()> {
        run(&format!("ip netns exec {} {command}", self.name))
    }

    /// The arguments of `ip` that run a program on this host.
    pub fn exec(&self) -> [&str; 3] {
        ["netns", "exec", &self.name]
    }
}

/// Runs a command whose words are separated by single spaces.
pub(crate) fn run(command: &str) -> anyhow::Result<()> {
    let mut words = command.split(' ');
    let program = words.next().unwrap_or_default();
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| format!("start {program:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command}: {}", said.trim());
    }
    Ok(())
}
