#!/usr/bin/env bash
# mqtt.js and the broker aedes send an MQTT packet as a WebSocket message for each of its fields, most of one byte; amqtt
# and Paho send a packet as one message.
#
# MQTT 3.1.1, section 6, allows it: packets need not keep to the borders of frames. But whoever takes a message for a
# packet sees a first byte alone, a CONNECT costs nine frames, and each message is compressed on its own where the
# extension is agreed on, which mqtt.js offers.
source "$(dirname "$0")/common.sh"
install_node mqtt@5.16.0 aedes@1.2.0 aedes-server-factory@0.2.1 ws@8.23.0
install_python amqtt==0.12.1 paho-mqtt==2.2.0

cat >aedes.js <<'JAVASCRIPT'
const { Aedes } = require("aedes");
const { createServer } = require("aedes-server-factory");
Aedes.createBroker().then((broker) => createServer(broker, { ws: true }).listen(Number(process.argv[2]), "127.0.0.1"));
JAVASCRIPT
cat >amqtt_broker.py <<'PYTHON'
import asyncio
import sys

from amqtt.broker import Broker

settings = {
    "listeners": {"default": {"type": "ws", "bind": f"127.0.0.1:{sys.argv[1]}"}},
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
}


async def serve():
    await Broker(settings).start()
    await asyncio.Event().wait()


asyncio.run(serve())
PYTHON
cat >client.js <<'JAVASCRIPT'
const client = require("mqtt").connect(process.argv[2], { protocolVersion: 4, clientId: "x", reconnectPeriod: 0 });
client.on("connect", () => client.publish("t", "hello"));
JAVASCRIPT
cat >client.py <<'PYTHON'
import sys

import paho.mqtt.client as mqtt

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="x", transport="websockets")
client.on_connect = lambda *_: client.publish("t", "hello")
client.connect("127.0.0.1", int(sys.argv[1].rsplit(":", 1)[1]))
client.loop_forever()
PYTHON

cat >meet.py <<'PYTHON'
import subprocess
import sys

from wire import BINARY, Peer, free_port, listen

CONNECT = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01x"
CONNACK = b"\x20\x02\0\0"
SUBSCRIBE = b"\x82\x06\0\x01\0\x01t\0"
PUBLISH = b"\x30\x08\0\x01thello"


def packet(peer):
    """A packet as the messages in which it arrives. All packets here are shorter than 130 bytes."""
    messages, data = [], b""
    while len(data) < 2 or len(data) < 2 + data[1]:
        opcode, payload, last, _ = peer.receive()
        assert opcode == BINARY and last
        messages.append(payload)
        data += payload
    return messages


def of_broker(*command):
    port = free_port()
    broker = subprocess.Popen([*command, str(port)], stderr=subprocess.DEVNULL)
    try:
        peer = Peer.client(port, Sec_WebSocket_Protocol="mqtt")
        found = []
        for request in CONNECT, SUBSCRIBE, PUBLISH:
            peer.send(BINARY, request)
            found.append(packet(peer))
        return found
    finally:
        broker.kill()


def of_client(*command):
    listener, port = listen()
    client = subprocess.Popen([*command, f"ws://127.0.0.1:{port}"])
    try:
        peer = Peer.server(listener, Sec_WebSocket_Protocol="mqtt")
        found = [packet(peer)]
        peer.send(BINARY, CONNACK)
        return [*found, packet(peer)]
    finally:
        client.kill()


print("Brokers answer with CONNACK, SUBACK and PUBLISH:")
print("aedes:", *of_broker("node", "aedes.js"))
print("amqtt:", *of_broker(sys.executable, "amqtt_broker.py"))
print("Clients send CONNECT and PUBLISH:")
print("mqtt.js:", *of_client("node", "client.js"))
print("paho-mqtt:", *of_client(sys.executable, "client.py"))
PYTHON
python meet.py >seen

expect seen <<'SEEN'
Brokers answer with CONNACK, SUBACK and PUBLISH:
aedes: [b' ', b'\x02', b'\x00', b'\x00'] [b'\x90', b'\x03', b'\x00\x01', b'\x00'] [b'0', b'\x08', b'\x00\x01', b't', b'hello']
amqtt: [b' \x02\x00\x00'] [b'\x90\x03\x00\x01\x00'] [b'0\x08\x00\x01thello']
Clients send CONNECT and PUBLISH:
mqtt.js: [b'\x10', b'\r', b'\x00\x04', b'MQTT', b'\x04', b'\x02', b'\x00<', b'\x00\x01', b'x'] [b'0', b'\x08', b'\x00\x01', b't', b'hello']
paho-mqtt: [b'\x10\r\x00\x04MQTT\x04\x02\x00<\x00\x01x'] [b'0\x08\x00\x01thello']
SEEN
