"""A PostgreSQL server for a test: in a folder of its own, as a user that it runs as, on a free port of this machine alone."""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from harness import clean_environment, eventually, free_port


def tool(name):
    """A program of the newest PostgreSQL that is installed."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else shutil.which(name)


POSTGRES, INITDB, PSQL = tool("postgres"), tool("initdb"), shutil.which("psql")


class Postgres:
    """One server, stopped until `start`. Its superuser is `owner`, whom only the socket in its folder lets in."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="warifu-postgres-"))
        self.data = self.folder / "data"
        self.port = free_port()
        # It refuses to run as root.
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.own(self.folder)
        self.run(INITDB, "-D", self.data, "-U", "owner", "-A", "trust", "--no-sync")
        self.process = None

    def own(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def identity(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def run(self, *command):
        subprocess.run([str(part) for part in command], check=True, capture_output=True, cwd=self.folder, timeout=120, **self.identity())

    def place(self, name, content, mode=0o600):
        """A file of its own, such as a key."""
        path = self.data / name
        path.write_text(content)
        path.chmod(mode)
        self.own(path)
        return path

    def start(self, settings, access):
        """With these settings, and these lines of pg_hba.conf after the owner's."""
        common = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.folder, "fsync": "off",
                  "logging_collector": "off", "log_connections": "on"}
        lines = [f"{name} = '{value}'" for name, value in {**common, **settings}.items()]
        self.place("postgresql.conf", "\n".join(lines) + "\n")
        self.place("pg_hba.conf", "local all owner trust\n" + "\n".join(access) + "\n")
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([POSTGRES, "-D", str(self.data)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.folder, **self.identity())
        eventually(self.answers)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"PostgreSQL has ended:\n{self.log()}")
        return self.ask("SELECT 1").returncode == 0

    def log(self):
        return (self.folder / "log").read_text()[-3000:]

    def ask(self, sql, **where):
        """psql as the owner over the socket, or as these settings of libpq say."""
        settings = {"host": str(self.folder), "user": "owner", "dbname": "postgres", "port": self.port, "connect_timeout": 10, **where}
        line = " ".join(f"{name}='{value}'" for name, value in settings.items())
        kept = {name: value for name, value in clean_environment().items() if not name.startswith("PG")}
        return subprocess.run([PSQL, "-X", "-At", "-d", line, "-c", sql], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, env=kept)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        """Ends it and takes its folder away."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
        shutil.rmtree(self.folder)
