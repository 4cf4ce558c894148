// The MQTT console: a client in the page, what it subscribes to, what it publishes, what comes.

import { byId, during, facts, h, toast } from "/assets/dom.js";
import { fill, hintFor, whyNot } from "/assets/doors.js";
import { Client, reasonOf } from "/assets/mqtt.js";
import { Feed } from "/assets/feed.js";
import { number } from "/assets/text.js";

const MOST_SUBSCRIPTIONS = 200;

const connection = byId("connection");
const feed = new Feed();

let client;
const subscribed = new Map();

const optional = (text) => (text === "" ? undefined : text);
const seconds = (text) => (text === "" ? undefined : Math.min(Number(text), 4294967295));

function state(text, kind = "") {
  byId("status").textContent = text;
  byId("status").className = `live ${kind}`;
  const isOn = kind === "on";
  for (const id of ["subscribe", "publish"]) byId(id).querySelector("fieldset").disabled = !isOn;
  for (const field of connection.querySelectorAll("input")) field.disabled = client !== undefined;
  byId("connect").textContent = client === undefined ? "Connect" : "Disconnect";
  byId("connect").className = client === undefined ? "main" : "danger";
}

function hint(text) {
  byId("hint").hidden = text === "";
  byId("hint").textContent = text;
}

connection.addEventListener("submit", (event) => {
  event.preventDefault();
  if (client !== undefined) {
    client.end();
    return;
  }
  const said = Object.fromEntries(new FormData(connection));
  byId("told").hidden = true;
  hint("");
  try {
    client = new Client({
      url: said.url,
      clientId: said.clientid,
      username: optional(said.username),
      password: optional(said.password),
      cleanStart: connection.elements.clean.checked,
      keepAlive: Math.min(Number(said.keepalive), 65535),
      properties: { sessionExpiry: seconds(said.expiry) },
    }, { connected, message: (message) => feed.add(message), ended: (why, wasOpen) => ended(said.url, why, wasOpen) });
  } catch (error) {
    // An address that is none; or ws:// from a page that came by https.
    hint(whyNot(said.url) || error.message);
    return;
  }
  state("Connecting…");
});

function connected({ sessionPresent, properties }) {
  state("Connected", "on");
  if (!sessionPresent) subscribed.clear();
  subscriptions();
  byId("told").hidden = false;
  byId("told").replaceChildren(...facts([
    ["Client id", properties.assignedClientId ?? connection.elements.clientid.value],
    ["Session", sessionPresent ? "taken up again" : "new"],
    ["Keep alive", properties.serverKeepAlive === undefined ? null : `${properties.serverKeepAlive} s, as the broker wants it`],
    ["Session ends", properties.sessionExpiry === undefined ? null : `after ${number(properties.sessionExpiry)} s, as the broker wants it`],
    ["QoS", properties.maximumQos === undefined ? null : `at most ${properties.maximumQos}`],
    ["Largest packet", properties.maximumPacketSize === undefined ? null : `${number(properties.maximumPacketSize)} bytes`],
  ]));
}

function ended(url, why, wasOpen) {
  client = undefined;
  state("Not connected", why === "Disconnected." ? "" : "off");
  // A browser tells pages nothing about a connection that did not open, so we look for what can be the matter.
  hint(why === "Disconnected." ? "" : why || (wasOpen ? "The broker closed the connection." : whyNot(url)));
}

byId("subscribe").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const { filter, qos, handling, subid } = Object.fromEntries(new FormData(form));
  if (subscribed.size >= MOST_SUBSCRIPTIONS) {
    toast(`This page has ${MOST_SUBSCRIPTIONS} subscriptions, and keeps no more.`, true);
    return;
  }
  const options = { qos: Number(qos), noLocal: form.elements.noLocal.checked, retainAsPublished: form.elements.asPublished.checked, retainHandling: Number(handling) };
  const properties = { subscriptionId: subid === "" || subid === "0" ? undefined : [Number(subid)] };
  await during(event.submitter, async () => {
    const answer = await client.subscribe(filter, options, properties);
    const [reason] = answer.reasons;
    if (reason >= 0x80) throw new Error(`${filter} is refused: ${reasonOf({ reason, properties: answer.properties })}.`);
    subscribed.set(filter, reason);
    subscriptions();
  });
});

function subscriptions() {
  byId("subscriptions").replaceChildren(...[...subscribed].map(([filter, qos]) => h("li", {},
    h("span.id", {}, filter), h("small", {}, ` QoS ${qos} `),
    h("button.small", { type: "button", "aria-label": `Unsubscribe ${filter}`, onclick: (event) => unsubscribe(event.currentTarget, filter) }, "Unsubscribe"))));
  byId("no-subscriptions").hidden = subscribed.size > 0;
}

async function unsubscribe(button, filter) {
  await during(button, async () => {
    await client?.unsubscribe(filter);
    subscribed.delete(filter);
    subscriptions();
    byId("subscribe").elements.filter.focus();
  });
}

const encoder = new TextEncoder();

const BYTES = {
  Text: (text) => encoder.encode(text),
  JSON(text) {
    JSON.parse(text);
    return encoder.encode(text);
  },
  Hex(text) {
    const digits = text.replaceAll(/\s|0x/g, "");
    if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error("Hex wants pairs of the digits 0 to 9 and a to f.");
    return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  },
};

function pairs(text) {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const at = line.indexOf(":");
    if (at < 0) throw new Error("User properties want “name: value” in each line.");
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  });
}

byId("publish").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const said = Object.fromEntries(new FormData(form));
  await during(event.submitter, async () => {
    const answer = await client.publish({
      topic: said.topic,
      payload: payload(said),
      qos: Number(said.qos),
      retain: form.elements.retain.checked,
      properties: {
        payloadFormat: form.elements.payloadFormat.checked ? 1 : undefined,
        messageExpiry: seconds(said.messageExpiry),
        contentType: optional(said.contentType),
        responseTopic: optional(said.responseTopic),
        correlationData: said.correlationData === "" ? undefined : encoder.encode(said.correlationData),
        userProperties: pairs(said.userProperties),
      },
    });
    if (answer?.reason >= 0x80) throw new Error(`${said.topic} is refused: ${reasonOf(answer)}.`);
    byId("published").textContent = `${said.topic} is ${answer === undefined ? "sent" : answer.reason === 0x10 ? "taken; nobody has subscribed to it" : "taken"}.`;
  });
});

function payload({ form, payload: text }) {
  try {
    return BYTES[form](text);
  } catch (error) {
    throw form === "JSON" ? new Error(`This is no JSON: ${error.message}`) : error;
  }
}

connection.elements.clientid.value = `console-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
connection.elements.url.addEventListener("change", () => hint(hintFor(connection.elements.url.value)));
fill(connection.elements.url, byId("listeners")).then(() => hint(hintFor(connection.elements.url.value))).catch((error) => toast(error.message, true));
state("Not connected");
