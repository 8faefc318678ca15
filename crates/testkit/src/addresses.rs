//! Tools of others that name addresses.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// What `tool` prints that is given these addresses, one per line.
pub fn answers(tool: &mut Command, addresses: &[u64]) -> String {
    let spawned = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child =
        spawned.unwrap_or_else(|error| panic!("{tool:?}: {error}: run scripts/install-test-tools"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut asked = String::new();
    for address in addresses {
        writeln!(asked, "{address:#x}").expect("writing to a string succeeds");
    }
    // Both pipes would fill up if one thread wrote everything before it read anything.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(asked.as_bytes()).expect("it reads"));
        child.wait_with_output().expect("it ends")
    });
    String::from_utf8(output.stdout).expect("text")
}
