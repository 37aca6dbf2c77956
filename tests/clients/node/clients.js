// SPDX-License-Identifier: BSD-3-Clause
//
// Kelvin through node's clients: ioredis (RESP2) and redis (RESP2 and RESP3).
//   node clients.js PORT UNIX_SOCKET
// One line per test; the last line is "N passed, N failed". Set up with `npm ci`.
'use strict';
const assert = require('node:assert');
const Redis = require('ioredis');
const { createClient, RESP_TYPES } = require('redis');

const [port, socket] = [Number(process.argv[2]), process.argv[3]];
const PIPELINE = 10000;
let passed = 0, failed = 0;

async function check(name, body) {
    try {
        await body();
        passed++;
        console.log('ok     ' + name);
    } catch (error) {
        failed++;
        console.log('FAILED ' + name + '\n    ' + String(error.stack).replace(/\n/g, '\n    '));
    }
}

function blob(size) {
    const bytes = Buffer.alloc(size);
    for (let i = 0; i < size; i++) bytes[i] = (i * 131 + (i >> 8)) & 255;
    return bytes;
}

async function ioredis(name, options) {
    const client = new Redis(options);
    client.on('error', () => {});
    await check(name + ': commands', async () => {
        await client.flushall();
        assert.equal(await client.set('k', 'v', 'EX', 100), 'OK');
        assert.equal(await client.get('k'), 'v');
        assert.equal(await client.get('none'), null);
        assert.equal(await client.incrby('n', 41), 41);
        assert.ok(await client.ttl('k') > 90);
        assert.deepEqual(await client.mget('k', 'none', 'n'), ['v', null, '41']);
        await assert.rejects(client.incr('k'), /ERR value is not an integer or out of range/);
    });
    await check(name + ': any bytes', async () => {
        const bytes = blob(3 << 20), key = Buffer.from([0, 13, 10, 255]);
        await client.set(key, bytes);
        assert.ok(bytes.equals(await client.getBuffer(key)));
    });
    await check(name + ': pipeline', async () => {
        const pipeline = client.pipeline();
        for (let i = 0; i < PIPELINE; i++) pipeline.incr('counter');
        const replies = await pipeline.exec();
        assert.equal(replies.length, PIPELINE);
        replies.forEach(([error, value], i) => assert.ok(!error && value === i + 1));
    });
    await check(name + ': transaction', async () => {
        const replies = await client.multi().set('t', 1).incr('t').get('t').exec();
        assert.deepEqual(replies, [[null, 'OK'], [null, 2], [null, '2']]);
    });
    await check(name + ': watch', async () => {
        const other = client.duplicate();
        await client.watch('t');
        await other.set('t', 'changed');
        assert.equal(await client.multi().set('t', 'mine').exec(), null);
        assert.equal(await client.get('t'), 'changed');
        other.disconnect();
    });
    await check(name + ': scan stream', async () => {
        const pairs = {};
        for (let i = 0; i < 3000; i++) pairs['scan:' + i] = i;
        await client.mset(pairs);
        const found = new Set();
        for await (const keys of client.scanStream({ match: 'scan:*', count: 100 }))
            keys.forEach((key) => found.add(key));
        assert.equal(found.size, 3000);
    });
    await check(name + ': slow log', async () => {
        await client.config('SET', 'slowlog-log-slower-than', 0);
        await client.set('slow', 'x');
        const [entry] = await client.slowlog('GET', 1);
        await client.config('SET', 'slowlog-log-slower-than', 10000);
        assert.deepEqual(entry[3], ['set', 'slow', 'x']);
        assert.ok(entry[0] >= 0 && entry[2] >= 0 && typeof entry[4] === 'string');
        assert.deepEqual(entry[6].filter((_, i) => i % 2 === 0), ['wait_usec', 'run_usec', 'sync_usec']);
    });
    await check(name + ': monitor', async () => {
        const monitor = await client.duplicate().monitor();
        const seen = new Promise((resolve) => monitor.on('monitor', (time, words) => {
            if (words[1] === 'seen') resolve(words);
        }));
        await client.set('seen', 'a "b"');
        assert.deepEqual(await seen, ['set', 'seen', 'a "b"']);
        monitor.disconnect();
    });
    await check(name + ': reconnect', async () => {
        const id = await client.client('ID');
        const other = client.duplicate();
        await other.client('KILL', 'ID', id);
        other.disconnect();
        assert.equal(await client.get('t'), 'changed');
        assert.notEqual(await client.client('ID'), id);
    });
    client.disconnect();
}

async function nodeRedis(name, options) {
    const client = createClient(options);
    client.on('error', () => {});
    await client.connect();
    await check(name + ': commands', async () => {
        await client.flushAll();
        assert.equal(await client.set('k', 'v', { EX: 100 }), 'OK');
        assert.equal(await client.get('k'), 'v');
        assert.equal(await client.get('none'), null);
        assert.equal(await client.incrBy('n', 41), 41);
        assert.equal(await client.incrByFloat('f', 1.5), '1.5');
        assert.ok(await client.ttl('k') > 90);
        assert.deepEqual(await client.mGet(['k', 'none', 'n']), ['v', null, '41']);
        assert.equal((await client.configGet('port')).port, String(port));
        await assert.rejects(client.incr('k'), /ERR value is not an integer or out of range/);
    });
    await check(name + ': pipeline', async () => {
        const replies = await Promise.all(Array.from({ length: PIPELINE }, () => client.incr('counter')));
        replies.forEach((value, i) => assert.equal(value, i + 1));
    });
    await check(name + ': any bytes', async () => {
        const bytes = blob(1 << 20);
        await client.sendCommand(['SET', 'blob', bytes]);
        assert.equal(await client.strLen('blob'), bytes.length);
        const inBytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
        assert.ok(bytes.equals(await inBytes.get('blob')));
    });
    await check(name + ': transaction', async () => {
        const replies = await client.multi().set('t', 1).incr('t').get('t').exec();
        assert.deepEqual(replies, ['OK', 2, '2']);
    });
    await check(name + ': watch', async () => {
        const other = client.duplicate();
        other.on('error', () => {});
        await other.connect();
        await client.watch('t');
        await other.set('t', 'changed');
        await assert.rejects(client.multi().set('t', 'mine').exec());
        assert.equal(await client.get('t'), 'changed');
        other.destroy();
    });
    await check(name + ': scan iterator', async () => {
        const pairs = [];
        for (let i = 0; i < 3000; i++) pairs.push(['scan:' + i, String(i)]);
        await client.mSet(pairs);
        const found = new Set();
        for await (const keys of client.scanIterator({ MATCH: 'scan:*', COUNT: 100 }))
            (Array.isArray(keys) ? keys : [keys]).forEach((key) => found.add(key));
        assert.equal(found.size, 3000);
    });
    await check(name + ': protocol', async () => {
        const hello = await client.sendCommand(['HELLO']);
        const proto = Array.isArray(hello) ? hello[hello.indexOf('proto') + 1] : hello.proto;
        assert.equal(proto, options.RESP || 2);
    });
    await check(name + ': reconnect', async () => {
        const id = await client.sendCommand(['CLIENT', 'ID']);
        const other = client.duplicate();
        other.on('error', () => {});
        await other.connect();
        const again = new Promise((resolve) => client.once('ready', resolve));
        await other.sendCommand(['CLIENT', 'KILL', 'ID', String(id)]);
        await again;
        assert.equal(await client.get('t'), 'changed');
        other.destroy();
    });
    client.destroy();
}

async function main() {
    await ioredis('ioredis, TCP', { port });
    await ioredis('ioredis, unix socket', { path: socket });
    await nodeRedis('node redis, RESP2', { socket: { port } });
    await nodeRedis('node redis, RESP3', { RESP: 3, socket: { port } });
    await nodeRedis('node redis, RESP3, unix socket', { RESP: 3, socket: { path: socket, tls: false } });
    console.log(`${passed} passed, ${failed} failed`);
    process.exit(failed ? 1 : 0);
}

main();
