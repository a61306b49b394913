"""nginx for a test: its program, and a configuration that keeps all it writes in one folder."""

import shutil

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def command(folder):
    """What starts it with the configuration in this folder."""
    return [NGINX, "-e", f"{folder}/nginx.log", "-c", f"{folder}/nginx.conf"]


def configuration(folder, server, level="notice", workers=2):
    """A configuration of one server, whose own lines these are."""
    return f"""
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log {level};
worker_processes {workers};
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/temp;
    proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp;
    uwsgi_temp_path {folder}/temp;
    scgi_temp_path {folder}/temp;
    server {{
{server}
    }}
}}
"""
