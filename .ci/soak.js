// Holds WebSockets as a page does, in Chromium and, by npm's ws, in Node. Idle ones say nothing until the time is over,
// the others ask now and then. Gives what was seen once all have answered for the last time, or have ended.
async function soak(WebSocket, url, { idle, talking, seconds, pause, pingEvery }) {
  const seen = { opened: 0, answers: [], cuts: [] };
  const end = performance.now() + 1000 * seconds;

  const hold = (talks) => new Promise((resolve) => {
    const ws = new WebSocket(url);
    let asked, ping;
    const askLater = () => {
      const left = end - performance.now();
      setTimeout(ask, talks ? Math.min(left, 1000 * pause * Math.random()) : left);
    };
    const ask = () => {
      asked = performance.now();
      ws.send("still there?");
    };
    ws.onopen = () => {
      seen.opened += 1;
      if (pingEvery) ping = setInterval(() => ws.ping(), 1000 * pingEvery);
      askLater();
    };
    ws.onmessage = () => {
      seen.answers.push((performance.now() - asked) / 1000);
      if (performance.now() < end) {
        askLater();
      } else {
        ws.onclose = null;
        finish();
      }
    };
    ws.onerror = () => {};
    ws.onclose = (event) => {
      seen.cuts.push(`${event.code} ${event.reason}`);
      finish();
    };
    const finish = () => {
      clearInterval(ping);
      ws.close();
      resolve();
    };
  });

  await Promise.all(Array.from({ length: idle + talking }, (_, number) => hold(number < talking)));
  return seen;
}
