// MQTT.js: the protocol in all three versions, presence events, and a storm of its clients.

import { createRequire } from 'node:module'
import { once } from 'node:events'
import { parseArgs, isDeepStrictEqual } from 'node:util'

const mqtt = createRequire(import.meta.url)('mqtt')

const PATIENCE = 15_000
const OVERALL = 300_000
const STORM = { connects: 3000, atOnce: 60, clients: 90 }
const CONNECTED = ['username', 'ts', 'sockport', 'proto_ver', 'proto_name', 'keepalive', 'ipaddress',
  'expiry_interval', 'connected_at', 'connack', 'clientid', 'clean_start']
const DISCONNECTED = ['username', 'ts', 'sockport', 'reason', 'proto_ver', 'proto_name', 'ipaddress',
  'disconnected_at', 'clientid']

const { values: broker } = parseArgs({
  options: { host: { type: 'string' }, port: { type: 'string' }, node: { type: 'string', default: 'rollcall@127.0.0.1' } },
})
const PRESENCE = `$SYS/brokers/${broker.node}/clients/`
const versions = [{ protocolVersion: 3, protocolId: 'MQIsdp' }, { protocolVersion: 4 }, { protocolVersion: 5 }]
const open = new Set()
let names = 0

class Failure extends Error {}

function expect(condition, message) {
  if (!condition) throw new Failure(message)
}

function equal(got, wanted, what) {
  const short = (value) => JSON.stringify(value)?.slice(0, 300)
  expect(isDeepStrictEqual(got, wanted), `${what}: got ${short(got)}, wanted ${short(wanted)}`)
}

/** The event, or a failure that says what did not happen. */
async function happens(emitter, event, what) {
  try {
    return await once(emitter, event, { signal: AbortSignal.timeout(PATIENCE) })
  } catch (error) {
    throw new Failure(`no ${what}: ${error.message}`)
  }
}

/** A connected client whose messages can be waited for with `take`. */
async function client(options = {}) {
  names += 1
  const made = mqtt.connect({
    host: broker.host, port: Number(broker.port), reconnectPeriod: 0, clientId: `js-${names}`, ...options,
  })
  open.add(made)
  made.waiting = []
  made.on('message', (topic, payload, packet) => {
    made.waiting.push({ topic, payload, packet })
    made.emit('taken')
  })
  // Who waits for a message learns that none can come.
  made.on('close', () => made.emit('error', new Failure('the connection is closed')))
  made.on('error', () => {})
  const [connack] = await happens(made, 'connect', `CONNACK for ${made.options.clientId}`)
  made.connack = connack
  return made
}

async function take(from, count = 1) {
  while (from.waiting.length < count) {
    await happens(from, 'taken', `${count} messages (${from.waiting.length} came)`)
  }
  return from.waiting.splice(0, count)
}

async function leave(...clients) {
  for (const one of clients) {
    open.delete(one)
    await one.endAsync()
  }
}

/** Closes the socket without DISCONNECT. */
function cut(one) {
  open.delete(one)
  one.stream.destroy()
}

async function everyQosMakesTheRound() {
  for (const version of versions) {
    const one = await client(version)
    const [granted] = await one.subscribeAsync('js/round/#', { qos: 2 })
    equal(granted.qos, 2, 'granted')
    for (const qos of [0, 1, 2]) {
      await one.publishAsync(`js/round/${qos}`, 'hello', { qos })
      const [{ topic, payload, packet }] = await take(one)
      equal([topic, payload.toString(), packet.qos, packet.retain], [`js/round/${qos}`, 'hello', qos, false], 'message')
    }
    await leave(one)
  }
}

async function retainedMessagesAndWillsArrive() {
  for (const version of versions) {
    const watcher = await client(version)
    const mortal = await client({ ...version, will: { topic: 'js/will', payload: Buffer.from('gone'), qos: 1, retain: true } })
    await watcher.subscribeAsync('js/will', { qos: 1 })
    cut(mortal)
    const [{ payload, packet }] = await take(watcher)
    equal([payload.toString(), packet.retain], ['gone', false], 'the will')
    const later = await client(version)
    await later.subscribeAsync('js/will', { qos: 1 })
    const [kept] = await take(later)
    equal([kept.payload.toString(), kept.packet.retain], ['gone', true], 'the retained will')
    await later.publishAsync('js/will', '', { qos: 1, retain: true })
    await leave(watcher, later)
  }
}

async function sessionsResume() {
  for (const version of versions) {
    const options = { ...version, clean: false, clientId: `js-kept-${version.protocolVersion}` }
    if (version.protocolVersion === 5) options.properties = { sessionExpiryInterval: 300 }
    const first = await client(options)
    await first.subscribeAsync('js/kept', { qos: 2 })
    await leave(first)
    const publisher = await client(version)
    for (let number = 0; number < 100; number += 1) await publisher.publishAsync('js/kept', `${number}`, { qos: 2 })
    const second = await client(options)
    equal(second.connack.sessionPresent, version.protocolVersion > 3, 'session present')
    const got = await take(second, 100)
    equal(got.map(({ payload }) => Number(payload)), [...Array(100).keys()], 'the queue')
    await leave(publisher, second)
    await leave(await client({ ...version, clientId: options.clientId }))
  }
}

async function propertiesPass() {
  const one = await client({ protocolVersion: 5 })
  await one.subscribeAsync('js/props', { qos: 1, properties: { subscriptionIdentifier: 9 } })
  const properties = {
    payloadFormatIndicator: true, contentType: 'text/plain', responseTopic: 'back', messageExpiryInterval: 500,
    correlationData: Buffer.from([0, 255]), userProperties: { a: ['1', '2'], b: '3' },
  }
  await one.publishAsync('js/props', 'x', { qos: 1, properties })
  const [{ packet }] = await take(one)
  const got = { ...packet.properties, userProperties: { ...packet.properties.userProperties } }
  expect(got.messageExpiryInterval <= 500 && got.messageExpiryInterval > 400, 'message expiry')
  equal(got, { ...properties, messageExpiryInterval: got.messageExpiryInterval, subscriptionIdentifier: 9 }, 'properties')
  await leave(one)
}

async function topicAliasesSpareTopics() {
  const one = await client({ protocolVersion: 5, autoUseTopicAlias: true, autoAssignTopicAlias: true,
    properties: { topicAliasMaximum: 5 } })
  await one.subscribeAsync('js/alias/#', { qos: 1 })
  await Promise.all([...Array(300).keys()].map(
    (number) => one.publishAsync(`js/alias/${number % 30}`, `${number}`, { qos: number % 5 === 0 ? 1 : 0 })))
  const got = await take(one, 300)
  equal(got.map(({ topic, payload }) => `${topic} ${payload}`),
    [...Array(300).keys()].map((number) => `js/alias/${number % 30} ${number}`), 'messages')
  await leave(one)
}

async function aGroupShares() {
  for (const version of versions) {
    const members = await Promise.all([1, 2, 3].map(() => client(version)))
    for (const member of members) await member.subscribeAsync('$share/js/job/#', { qos: 1 })
    const publisher = await client(version)
    for (let number = 0; number < 90; number += 1) await publisher.publishAsync('job/js', `${number}`, { qos: 1 })
    const count = () => members.reduce((sum, member) => sum + member.waiting.length, 0)
    while (count() < 90) await Promise.any(members.map((member) => happens(member, 'taken', 'shared message')))
    const got = members.flatMap((member) => member.waiting.map(({ payload }) => Number(payload)))
    equal(got.sort((a, b) => a - b), [...Array(90).keys()], 'all copies')
    await leave(publisher, ...members)
  }
}

async function largePayloadsAndBurstsPass() {
  for (const version of versions) {
    const one = await client(version)
    await one.subscribeAsync('js/bulk/#', { qos: 2 })
    const large = Buffer.alloc(200 * 1024, 'rollcall')
    for (const qos of [0, 1, 2]) {
      await one.publishAsync('js/bulk/large', large, { qos })
      const [{ payload }] = await take(one)
      expect(payload.equals(large), `200 KB at QoS ${qos} are damaged`)
      // MQTT.js takes no notice of a Receive Maximum, so this must.
      const atOnce = Math.min(1000, one.connack.properties?.receiveMaximum ?? 1000)
      for (let number = 0; number < 1000; number += atOnce) {
        const group = [...Array(Math.min(atOnce, 1000 - number)).keys()]
        await Promise.all(group.map((step) => one.publishAsync('js/bulk/burst', `${number + step}`, { qos })))
      }
      const got = await take(one, 1000)
      equal(got.map(({ payload: number }) => Number(number)), [...Array(1000).keys()], `burst at QoS ${qos}`)
    }
    await leave(one)
  }
}

function event({ topic, payload }) {
  expect(topic.startsWith(PRESENCE), `topic ${topic}`)
  const kind = topic.slice(topic.lastIndexOf('/') + 1)
  const fields = JSON.parse(payload)
  equal(Object.keys(fields), kind === 'connected' ? CONNECTED : DISCONNECTED, `keys of ${topic}`)
  equal(topic, `${PRESENCE}${fields.clientid}/${kind}`, 'topic')
  return { kind, ...fields }
}

async function presenceEventsCome() {
  const watcher = await client({ protocolVersion: 5 })
  await watcher.subscribeAsync(`${PRESENCE}js-seen/+`, { qos: 1 })
  for (const version of versions) {
    const seen = await client({ ...version, clientId: 'js-seen', username: 'foo', keepalive: 33 })
    const [came] = (await take(watcher)).map((message) => {
      equal(message.packet.properties.contentType, 'application/json', 'content type')
      equal([message.packet.qos, message.packet.retain], [1, false], 'QoS and retain')
      return event(message)
    })
    equal([came.kind, came.username, came.keepalive, came.proto_ver], ['connected', 'foo', 33, version.protocolVersion], 'came')
    await leave(seen)
    const [gone] = (await take(watcher)).map(event)
    equal([gone.kind, gone.reason], ['disconnected', 'normal'], 'gone')
  }
  await leave(watcher)
}

/** Many clients at once; of each client id the events must alternate. */
async function aStormIsToldInOrder() {
  const streams = new Map()
  const faults = []
  const watcher = await client({ protocolVersion: 5 })
  await watcher.subscribeAsync(`${PRESENCE}#`, { qos: 1 })
  const see = (message) => {
    const { kind, clientid } = event(message)
    const stream = streams.get(clientid)
    if (!stream) return
    const online = kind === 'connected'
    if (stream.online === online) faults.push(`${clientid}: ${kind} twice after ${stream.came} connects`)
    stream.online = online
    if (online) stream.came += 1
  }
  watcher.on('taken', () => watcher.waiting.splice(0).forEach((message) => {
    try { see(message) } catch (error) { faults.push(error.message) }
  }))
  for (let number = 0; number < STORM.clients; number += 1) streams.set(`storm-${number}`, { online: false, came: 0, accepted: 0 })
  let left = STORM.connects
  let seed = 7
  const random = (below) => {
    seed = (seed * 1103515245 + 12345) % 2147483648
    return Math.floor((seed / 2147483648) * below)
  }
  const worker = async () => {
    const kept = []
    while (left > 0) {
      left -= 1
      const clientId = `storm-${random(STORM.clients)}`
      const made = mqtt.connect({ ...versions[random(3)], host: broker.host, port: Number(broker.port), clientId,
        reconnectPeriod: 0, clean: random(2) === 0 })
      made.on('error', () => {})
      const [first] = await Promise.race([happens(made, 'connect', 'CONNACK'), happens(made, 'close', 'end')])
      if (first) streams.get(clientId).accepted += 1
      const way = random(3)
      if (way === 0) await made.endAsync()
      else if (way === 1) made.stream.destroy()
      else kept.push(made)
      if (kept.length > 3) kept.shift().stream.destroy()
    }
    kept.forEach((made) => made.stream.destroy())
  }
  await Promise.all(Array.from({ length: STORM.atOnce }, worker))
  const unsettled = () => [...streams].filter(([, { online, came, accepted }]) => online || came < accepted)
  while (unsettled().length) {
    await happens(watcher, 'taken', `more events (unsettled: ${JSON.stringify(unsettled().slice(0, 5))})`)
  }
  const came = [...streams.values()].reduce((sum, stream) => sum + stream.came, 0)
  expect(came <= STORM.connects, `${came} connected events for ${STORM.connects} connects`)
  equal(faults.slice(0, 10), [], `${faults.length} faults`)
  await leave(watcher)
}

const checks = [everyQosMakesTheRound, retainedMessagesAndWillsArrive, sessionsResume, propertiesPass,
  topicAliasesSpareTopics, aGroupShares, largePayloadsAndBurstsPass, presenceEventsCome, aStormIsToldInOrder]

setTimeout(() => {
  console.log(`mqttjs: not done after ${OVERALL / 1000} s`)
  process.exit(3)
}, OVERALL).unref()

let failed = 0
for (const check of checks) {
  const title = check.name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
  const start = performance.now()
  try {
    await check()
    console.log(`mqttjs: ${title} ... ok (${((performance.now() - start) / 1000).toFixed(2)} s)`)
  } catch (error) {
    failed += 1
    console.log(`mqttjs: ${title} ... FAILED: ${error instanceof Failure ? error.message : error.stack}`)
    open.forEach(cut)
  }
}
process.exit(failed ? 1 : 0)
