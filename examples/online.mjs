// Who is online, with MQTT.js (`npm install mqtt`): node online.mjs [HOST [PORT]]
//
// State topics bring the state of every client that is known, then each change; each connection begins with the whole. A state
// counts only if its `event` is not below the one that is known of this client.

import mqtt from 'mqtt'

const [host = '127.0.0.1', port = '1883'] = process.argv.slice(2)
const clients = new Map()
let seen = new Set()

// With resubscribe off, each connection subscribes below, and so the snapshot is known to begin there.
const client = mqtt.connect({ host, port: Number(port), protocolVersion: 5, clean: true, resubscribe: false })

client.on('connect', async () => {
  seen = new Set()
  const topics = ['$SYS/brokers/+/clients/+/state', '$SYS/brokers/+/presence/snapshot/done']
  const granted = await client.subscribeAsync(topics, { qos: 1 })
  if (granted.some(({ qos }) => qos >= 0x80)) throw new Error('may not subscribe below $SYS')
})

client.on('message', (topic, payload) => {
  const told = JSON.parse(payload)
  const node = topic.split('/')[2]
  if (topic.endsWith('/presence/snapshot/done')) {
    for (const [key, known] of clients) {
      if (known.node === node && !seen.has(key) && known.event <= told.event) clients.delete(key)
    }
    const online = [...clients.values()].filter(({ state }) => state === 'online')
    console.log(`${online.length} online: ${online.map(({ clientid }) => clientid).join(' ')}`)
    return
  }
  const key = `${node} ${told.clientid}`
  const before = clients.get(key)
  seen.add(key)
  if (before && told.event < before.event) return
  clients.set(key, { ...told, node })
  if (before && before.state !== told.state) console.log(`${told.clientid} ${told.state} ${told.reason ?? ''}`)
})

client.on('error', (error) => console.error(error.message))
