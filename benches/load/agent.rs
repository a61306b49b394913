//! The agent with one template: from its start to the rendered file, and what it holds in memory afterwards.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::options::Options;
use crate::process::{Child, Memory};
use crate::server::Server;
use crate::setup::{PASSWORD, Setup};

/// How long it may take at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the file is looked for.
const POLL: Duration = Duration::from_micros(200);
/// How long it is left alone before its memory is looked at.
const REST: Duration = Duration::from_millis(1500);

/// The command of an agent in this folder, which renders one secret to the file `out` there.
pub fn command(options: &Options, server: &Server, setup: &Setup, folder: &Path, secret: &str) -> Result<Command> {
    std::fs::create_dir_all(folder)?;
    let at = folder.display();
    std::fs::write(folder.join("role_id"), &setup.role_id)?;
    std::fs::write(folder.join("secret_id"), &setup.secret_id)?;
    let text = format!(
        r#"
vault {{
  address = "{url}"
  tls_skip_verify = true
}}
auto_auth {{
  method "approle" {{
    mount_path = "auth/approle"
    config = {{
      role_id_file_path = "{at}/role_id"
      secret_id_file_path = "{at}/secret_id"
      remove_secret_id_file_after_reading = false
    }}
  }}
}}
template {{
  contents = "{{{{ with secret \"secret/data/{secret}\" }}}}{{{{ .Data.data.password }}}}{{{{ end }}}}"
  destination = "{at}/out"
}}
"#,
        url = server.url()
    );
    std::fs::write(folder.join("agent.hcl"), text)?;
    let log = std::fs::File::create(folder.join("log"))?;
    let mut command = Command::new(&options.warifu);
    command.arg("agent").arg(format!("-config={at}/agent.hcl")).env_clear().current_dir(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// Starts it once; gives the time to the file, and its memory.
pub fn start(options: &Options, server: &Server, setup: &Setup) -> Result<(Duration, Memory)> {
    let folder = options.folder.join("agent");
    let out = folder.join("out");
    let command = command(options, server, setup, &folder, "r-1")?;
    match std::fs::remove_file(&out) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let begun = Instant::now();
    let mut child = Child::start(command, &options.folder)?;
    let took = loop {
        if out.exists() {
            break begun.elapsed();
        }
        let late = begun.elapsed() > PATIENCE;
        if let Err(error) = child.check().and_then(|()| if late { Err("nothing is rendered".into()) } else { Ok(()) }) {
            let log = std::fs::read_to_string(folder.join("log"))?;
            return Err(format!("agent: {error}; {}", log.lines().last().unwrap_or_default()).into());
        }
        std::thread::sleep(POLL);
    };
    if std::fs::read_to_string(&out)? != PASSWORD {
        return Err("agent: the rendered file is wrong".into());
    }
    std::thread::sleep(REST);
    let memory = child.memory()?;
    child.stop()?;
    Ok((took, memory))
}
