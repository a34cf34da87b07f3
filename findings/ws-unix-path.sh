#!/usr/bin/env bash
# npm's ws connects to a Unix socket by ws+unix:/path/of.sock:/path. It takes the path as the URL parser leaves it: with
# %20 for a space, %C3%AF for a letter, and %3A for a colon, which are no names of files. So a socket whose path has any
# of these cannot be reached by its URL, however that is written.
#
# Who takes such URLs decodes the path of the socket, as file: URLs are (RFC 8089), and splits it at the first colon
# before that.
source "$(dirname "$0")/common.sh"
npm install --silent --no-fund --no-audit --prefix "$folder" ws@8.23.0

cat >paths.js <<'JS'
const {createServer} = require('http'), {WebSocket, WebSocketServer} = require('ws');

function connect(url) {
    return new Promise(resolve => {
        const ws = new WebSocket(url);
        ws.on('message', message => resolve(`says ${message}`) || ws.terminate());
        ws.on('error', error => resolve(error.code));
    });
}

async function main() {
    for (const name of ['plain.sock', 'a space.sock', 'naïve.sock', 'a:colon.sock']) {
        const server = createServer();
        new WebSocketServer({server}).on('connection', ws => ws.send('hello'));
        await new Promise(resolve => server.listen(name, resolve));
        const folder = process.cwd();
        const encoded = encodeURIComponent(name);
        console.log(`${name}: ${await connect(`ws+unix:${folder}/${name}:/`)}, ` +
            `as ${encoded}: ${await connect(`ws+unix:${folder}/${encoded}:/`)}`);
        server.close();
    }
    process.exit();
}
main();
JS
node paths.js >seen

expect seen <<'SEEN'
plain.sock: says hello, as plain.sock: says hello
a space.sock: ENOENT, as a%20space.sock: ENOENT
naïve.sock: ENOENT, as na%C3%AFve.sock: ENOENT
a:colon.sock: ENOENT, as a%3Acolon.sock: ENOENT
SEEN
