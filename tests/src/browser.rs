//! A page in headless Chromium, looked at and clicked on over its DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>).

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{LabError, Node, wait_until};
use serde_json::{Value, json};

/// A browser takes its time to start on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes standard input and output the pipe on which the browser takes commands and answers them: descriptors 3 and 4.
/// Its own output goes to a file.
const START: &str = "exec chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                     --hide-scrollbars --remote-debugging-pipe --user-data-dir=\"$0\" about:blank \
                     3<&0 4>&1 </dev/null >\"$0.log\" 2>&1";

/// What ends a message on the pipe.
const END: u8 = 0;

/// A browser in a node, with one page. It goes when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: Value,
    number: u64,
    directory: PathBuf,
}

impl Browser {
    /// Opens an address as on a screen of this width and height.
    ///
    /// # Errors
    /// When the browser does not start, or not answer.
    pub fn open(node: &Node, address: &str, size: (u32, u32)) -> Result<Self, LabError> {
        let directory = node.directory().join(format!("{}-browser", node.name()));
        fs::create_dir_all(&directory).map_err(failed("make its directory"))?;
        let mut command = node.command("sh");
        command.args(["-c", START]).arg(&directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed("start"))?;
        let (Some(commands), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("start")(io::ErrorKind::BrokenPipe.into()));
        };
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            let messages = BufReader::new(answers).split(END).map_while(Result::ok);
            let messages = messages.filter_map(|message| serde_json::from_slice(&message).ok());
            // Nobody listens once the browser has been dropped.
            let _ = messages.into_iter().try_for_each(|message| sender.send(message));
        });
        let mut browser = Self { child, commands, messages, session: Value::Null, number: 0, directory };
        let pages = browser.call("Target.getTargets", json!({ "filter": [{ "type": "page" }] }))?;
        let page = json!({ "targetId": pages["targetInfos"][0]["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", page)?["sessionId"].take();
        browser.resize(size)?;
        browser.call("Page.navigate", json!({ "url": address }))?;
        Ok(browser)
    }

    /// Makes the screen another.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn resize(&mut self, (width, height): (u32, u32)) -> Result<(), LabError> {
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640 });
        self.call("Emulation.setDeviceMetricsOverride", screen).map(drop)
    }

    /// The value of an expression in the page.
    ///
    /// # Errors
    /// When it throws, or the browser does not answer.
    pub fn value(&mut self, expression: &str) -> Result<Value, LabError> {
        let question = json!({ "expression": expression, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", question)?;
        match answer.get("exceptionDetails") {
            None => Ok(answer["result"]["value"].take()),
            Some(thrown) => Err(refused(expression, thrown)),
        }
    }

    /// Waits until an expression is true in the page, whichever it is by then.
    ///
    /// # Errors
    /// When it does not become true in time, with what the page shows.
    pub fn wait(&mut self, expression: &str) -> Result<(), LabError> {
        let outcome = wait_until(LIMIT, expression, || {
            self.value(expression).is_ok_and(|value| value == true).then_some(())
        });
        outcome.map_err(|_| {
            let shown = self.value("document.body.innerText").unwrap_or_default();
            let detail = format!("; the page shows:\n{}", shown.as_str().unwrap_or_default());
            LabError::Timeout { what: expression.to_owned(), limit: LIMIT, detail }
        })
    }

    /// Writes what is on the screen to a PNG file.
    ///
    /// # Errors
    /// When it can't.
    pub fn photograph(&mut self, file: &Path) -> Result<(), LabError> {
        let mut picture = self.call("Page.captureScreenshot", json!({ "format": "png" }))?;
        let text = picture["data"].take();
        let octets = base64(text.as_str().unwrap_or_default());
        fs::write(file, octets).map_err(|source| LabError::File { path: file.to_owned(), source })
    }

    /// Gives a command, and waits for its answer. Of what happens meanwhile nothing is of interest.
    fn call(&mut self, method: &str, parameters: Value) -> Result<Value, LabError> {
        self.number += 1;
        let mut command = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.session.is_null() {
            command["sessionId"] = self.session.clone();
        }
        let octets = [command.to_string().as_bytes(), &[END]].concat();
        self.commands.write_all(&octets).map_err(|error| self.gone(method, &error))?;
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut message = self.messages.recv_timeout(left).map_err(|error| self.gone(method, &error))?;
            if message["id"] == self.number {
                return match message.get("error") {
                    None => Ok(message["result"].take()),
                    Some(error) => Err(refused(method, error)),
                };
            }
        }
    }

    fn gone(&self, method: &str, error: &dyn std::error::Error) -> LabError {
        let log = fs::read_to_string(self.directory.with_extension("log")).unwrap_or_default();
        let log = log.lines().rev().take(20).collect::<Vec<_>>();
        let output = log.into_iter().rev().collect::<Vec<_>>().join("\n");
        LabError::Failed { command: format!("chromium: {method}"), status: error.to_string(), output }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its own processes; what does not, is killed.
        self.session = Value::Null;
        let _ = self.call("Browser.close", json!({}));
        let ended = wait_until(LIMIT, "end of the browser", || self.child.try_wait().ok().flatten());
        if ended.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> LabError {
    move |error| LabError::Failed {
        command: "chromium".to_owned(),
        status: format!("cannot {action}: {error}"),
        output: String::new(),
    }
}

fn refused(what: &str, error: &Value) -> LabError {
    LabError::Failed {
        command: format!("chromium: {what}"),
        status: "refused".to_owned(),
        output: error.to_string(),
    }
}

/// The octets of a text in Base64 (RFC 4648 §4); what is not of its alphabet is passed over.
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|letter| ALPHABET.iter().position(|other| *other == letter));
    let (mut octets, mut bits, mut count) = (Vec::new(), 0_usize, 0);
    for digit in digits {
        (bits, count) = (bits << 6 | digit, count + 6);
        if count >= 8 {
            count -= 8;
            octets.push(u8::try_from(bits >> count & 0xff).unwrap_or_default());
            bits &= (1 << count) - 1;
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_decoded() {
        for (text, octets) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!(base64(text), octets.as_bytes());
        }
    }
}
