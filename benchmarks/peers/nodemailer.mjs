// Sends messages of text and HTML through nodemailer's pool, as its documentation shows.
// Arguments: a JSON file with port, count, connections, text, html, and dkim or null.
// Prints the seconds from the first to the last, without the start of the process.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [, , modules, file] = process.argv;
const require = createRequire(modules);
const nodemailer = require("nodemailer");
// It leaves Nagle's algorithm on, and then waits 40 ms for an acknowledgement at the end of
// each message: nothing that a sender should be compared by.
const net = require("node:net");
const { connect } = net;
net.connect = (...how) => connect(...how).setNoDelay(true);

const given = JSON.parse(readFileSync(file, "utf8"));

const transport = nodemailer.createTransport({
  pool: true,
  host: "127.0.0.1",
  port: given.port,
  secure: false,
  ignoreTLS: true,
  maxConnections: given.connections,
  maxMessages: given.per_connection,
  ...(given.dkim ? { dkim: given.dkim } : {}),
});

function message(number) {
  return {
    envelope: { from: `bounce+${number}@bounces.ca.example`, to: `admin@clinic-${number}.example` },
    from: "Example CA <certificates@ca.example>",
    to: `Chan Tai Man <admin@clinic-${number}.example>`,
    subject: `Your certificates for clinic-${number}.example will be revoked`,
    text: given.text.replaceAll("@@", number),
    html: given.html.replaceAll("@@", number),
  };
}

const began = process.hrtime.bigint();
let next = 1;
let taken = 0;
await new Promise((resolve, reject) => {
  // A few more than there are connections, so that none waits.
  function send() {
    if (next > given.count) return;
    transport.sendMail(message(next++)).then(() => {
      taken += 1;
      if (taken === given.count) resolve();
      else send();
    }, reject);
  }
  for (let i = 0; i < given.connections * 4; i += 1) send();
});
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
transport.close();
console.log(JSON.stringify({ seconds, taken, cpu: process.cpuUsage() }));
