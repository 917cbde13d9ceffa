//! Agents as processes on loopback addresses.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const BAGPIPE: &str = env!("CARGO_BIN_EXE_bagpipe");

/// A directory, and loopback addresses that no other test has.
pub(crate) struct Lab {
    pub(crate) directory: PathBuf,
    number: u8,
}

impl Lab {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("bagpipe-agents-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self { directory, number }
    }

    pub(crate) fn address(&self, host: u8) -> String {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        // The tests of one process differ in the last octet, processes in the others.
        format!("127.{}.{}.{}", high | 1, low, self.number * 10 + host)
    }

    /// A configuration; `bgp` goes into its first section, and may open others.
    pub(crate) fn config(&self, host: u8, bgp: &str) -> PathBuf {
        self.config_of(&self.address(host), 64_512, host, bgp)
    }

    fn config_of(&self, address: &str, asn: u32, host: u8, bgp: &str) -> PathBuf {
        let path = self.directory.join(format!("{host}.toml"));
        let mut text = format!("[bgp]\nlocal_address = \"{address}\"\nas_number = {asn}\n{bgp}\n");
        write!(
            text,
            "[dataplane]\ndriver = \"none\"\n[api]\nlisten = \"\"\nsocket = \"{}\"\n[state]\ndirectory = \"{}\"\n",
            self.socket(host).display(),
            self.directory.join(format!("{host}.state")).display()
        )
        .unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn socket(&self, host: u8) -> PathBuf {
        self.directory.join(format!("{host}.sock"))
    }

    pub(crate) fn reflector(&self, host: u8) -> Agent {
        let bgp = format!(
            "listen = [\"{}:1790\"]\n[bgp.reflector]\nclients = [\"127.0.0.0/8\"]",
            self.address(host)
        );
        self.start(host, &bgp)
    }

    pub(crate) fn client(&self, host: u8, reflector: u8) -> Agent {
        self.start(host, &format!("[[bgp.peers]]\naddress = \"{}\"\nport = 1790", self.address(reflector)))
    }

    pub(crate) fn start(&self, host: u8, bgp: &str) -> Agent {
        self.start_in_as(64_512, host, bgp)
    }

    pub(crate) fn start_in_as(&self, asn: u32, host: u8, bgp: &str) -> Agent {
        self.start_with(host, self.config_of(&self.address(host), asn, host, bgp))
    }

    /// One with another address.
    pub(crate) fn start_at(&self, address: &str, host: u8, bgp: &str) -> Agent {
        self.start_with(host, self.config_of(address, 64_512, host, bgp))
    }

    fn start_with(&self, host: u8, config: PathBuf) -> Agent {
        let mut agent = Agent {
            config,
            socket: self.socket(host),
            log: self.directory.join(format!("{host}.log")),
            process: None,
        };
        agent.resume();
        agent
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

pub(crate) struct Agent {
    pub(crate) config: PathBuf,
    pub(crate) socket: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

impl Agent {
    pub(crate) fn resume(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(BAGPIPE)
            .args(["agent", "--config"])
            .arg(&self.config)
            .env("BAGPIPE_LOG", "debug")
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        self.process = Some(child);
        let socket = self.socket.clone();
        self.wait("answers", || UnixStream::connect(&socket).is_ok());
    }

    pub(crate) fn cli(&self, line: &str) -> Output {
        self.run(&line.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        Command::new(BAGPIPE).arg("--socket").arg(&self.socket).args(words).output().unwrap()
    }

    /// What a command prints, which has to succeed.
    pub(crate) fn done(&self, line: &str) -> String {
        let output = self.cli(line);
        assert!(output.status.success(), "{line}: {}{}", text(&output.stderr), self.logged());
        text(&output.stdout)
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        let output = self.cli(&format!("{line} -o json"));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{line}: {}", text(&output.stderr)))
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) fn has_route(&self, word: &str) -> bool {
        let routes = self.json("show routes");
        routes
            .as_array()
            .unwrap()
            .iter()
            .any(|route| route["source"] != "local" && route["route"].as_str().unwrap().contains(word))
    }

    pub(crate) fn is_well(&self) -> bool {
        self.cli("status").status.code() == Some(0)
    }

    pub(crate) fn wait(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + LIMIT;
        while !condition() {
            assert!(Instant::now() < end, "never: {what}{}", self.logged());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn logged(&self) -> String {
        format!("\n{}", std::fs::read_to_string(&self.log).unwrap_or_default())
    }

    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// SIGTERM; gives the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let pid = process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut code = None;
        self.wait("ends", || {
            code = process.try_wait().unwrap();
            code.is_some()
        });
        code.and_then(|status| status.code())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
