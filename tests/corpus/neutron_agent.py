"""A port of Neutron's, by the REST client of its agents (networking_bagpipe), unmodified.

The client attaches the port when it first sees a daemon, and again when it sees another. A file named by the only
argument says what else to do, one word: "refresh" or "detach"; it is removed when that is done.
"""

import os
import sys
import time

import neutron  # noqa: F401  (before oslo.service, whose threads it sets up)

try:
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
except ImportError:
    pass

from oslo_config import cfg

from networking_bagpipe.agent import bagpipe_bgp_agent

PORT, NETWORK = "port", "net"
LOCAL_PORT = {"linuxif": "tap0"}
COMMON = {
    "ip_address": "10.0.0.2",
    "mac_address": "00:00:de:ad:be:ef",
    "gateway_ip": "10.0.0.1",
    "local_port": LOCAL_PORT,
    "description": {"port": PORT},
    "instance_description": "associations for net",
}
attached = True


def attachments(_port):
    if not attached:
        return {"network_id": NETWORK}
    return {
        "network_id": NETWORK,
        "evpn": [dict(COMMON, vni=101, import_rt=["64512:10"], export_rt=["64512:10"])],
        "ipvpn": [
            dict(
                COMMON,
                local_port={"evpn": {"id": "evpn_" + NETWORK}},
                ip_address="10.0.0.1/24",
                local_pref=44,
                import_rt=["64512:20"],
                export_rt=["64512:20", "64512:21"],
            )
        ],
    }


cfg.CONF([])
cfg.CONF.set_override("ping_interval", 1, "BAGPIPE")
agent = bagpipe_bgp_agent.BaGPipeBGPAgent.get_instance("Open vSwitch agent")
agent.register_build_callback("bgpvpn", attachments)
agent.register_port_list("bgpvpn", {PORT})

while True:
    time.sleep(0.1)
    try:
        with open(sys.argv[1]) as commands:
            command = commands.read()
    except OSError:
        continue
    if command == "refresh":
        agent.do_port_plug(PORT)
    elif command == "detach":
        attached = False
        agent.port_lists["bgpvpn"].discard(PORT)
        detach = dict(mac_address=COMMON["mac_address"], local_port=LOCAL_PORT)
        agent.do_port_plug_refresh(
            PORT,
            {
                "network_id": NETWORK,
                "evpn": dict(detach, ip_address="10.0.0.2"),
                "ipvpn": dict(detach, ip_address="10.0.0.1/24"),
            },
        )
    os.remove(sys.argv[1])
