// The JavaScript and TypeScript interpreter of a code context, in two processes.
//
//   relay (one a run) --unix socket--> supervisor --pipes--> worker: runs code, keeps variables
//
// The supervisor never runs a line of the user's code. It takes runs one after the other, gathers
// what the worker and its children write, interrupts and ends the worker, and makes a new one when
// it dies. Bounds as in interpreter.py.
'use strict';

const STREAMS_MAX = 8 << 20;
const REQUEST_MAX = 2 << 20;
const QUEUE_MAX = 64;
// Ids of so many runs that came are remembered.
const SEEN_MAX = 4 * QUEUE_MAX;
const LINE_MAX = 10 << 20;
const OUTPUTS_MAX = 16 << 20;
// Bytes of a line that count as one of output. Escapes take up to six, and all lines of a run have to
// fit into its journal, the last one above all.
const ESCAPED = 3;
const INTERRUPT_GRACE = 3000;
// How long a run waits for one that was accepted before it and has not come: its relay may have died.
const EARLIER_GRACE = 5000;
// The worker may be idle and waiting, which a signal ends, or busy, which only this does.
const TERMINATE_AFTER = 300;
const MARK_PATIENCE = 1000;

const fs = require('fs');
const SOURCE = process._eval || process.execArgv[process.execArgv.indexOf('-e') + 1];

// ASCII only, so that no line separator of Unicode and no lone surrogate can break a line.
function encode(event) {
  return JSON.stringify(event, (_, value) =>
    typeof value === 'string' && value.isWellFormed && !value.isWellFormed()
      ? value.toWellFormed() : value)
    .replace(/\\ud[89a-f][0-9a-f]{2}/gi, '\\ufffd')
    .replace(/[\u007f-\uffff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

// Takes whole lines out of pieces; false where a line is over its bound.
function lineReader(max, take) {
  let rest = Buffer.alloc(0);
  return (piece) => {
    rest = rest.length ? Buffer.concat([rest, piece]) : piece;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = rest.subarray(0, end);
      rest = rest.subarray(end + 1);
      take(line);
    }
    return rest.length <= max;
  };
}

// -- the supervisor ----------------------------------------------------------------------------------

function supervise(name, again, language) {
  const net = require('net');
  const { spawn } = require('child_process');
  const { StringDecoder } = require('string_decoder');
  const crypto = require('crypto');
  const signals = require('os').constants.signals;

  const queue = [];
  const seen = new Set();
  let current = null;
  let worker = null;
  let count = 0;
  let lost = again;
  let greeted = false;
  let connections = 0;

  process.on('SIGINT', () => {});
  process.on('SIGPIPE', () => {});

  class Run {
    constructor(link) {
      this.link = link;
      this.request = null;
      this.room = STREAMS_MAX;
      this.outputs = 0;
      this.waited = false;
      // Whether the worker is at it: a signal that comes before would end the worker itself.
      this.executes = false;
      this.timers = [];
    }

    send(event) {
      this.sendLine(encode(event));
    }

    sendLine(line) {
      if (!this.link.destroyed) this.link.write(line + '\n');
    }

    text(stream, text) {
      if (this.room <= 0 || text === '') return;
      const line = encode({ t: stream, d: text });
      this.room -= Math.max(Buffer.byteLength(text), line.length / ESCAPED);
      this.sendLine(line);
      if (this.room <= 0) this.send({ t: 'truncated', max: STREAMS_MAX });
    }

    after(ms, act) {
      this.timers.push(setTimeout(act, ms));
    }

    end() {
      this.timers.forEach(clearTimeout);
      this.link.end();
    }
  }

  // What the worker and its children write to their own stdout or stderr, up to the mark that the
  // worker sets behind a run.
  class Gathered {
    constructor(stream) {
      this.stream = stream;
      this.held = Buffer.alloc(0);
      this.mark = null;
      this.reset();
    }

    reset() {
      this.decoder = new StringDecoder('utf8');
    }

    take(piece) {
      let bytes = this.held.length ? Buffer.concat([this.held, piece]) : piece;
      this.held = Buffer.alloc(0);
      if (this.mark !== null) {
        const at = bytes.indexOf(this.mark);
        if (at >= 0) {
          this.write(bytes.subarray(0, at));
          const rest = bytes.subarray(at + this.mark.length);
          this.mark = null;
          if (current) current.text(this.stream, this.decoder.end());
          marked();
          if (rest.length) this.take(rest);
          return;
        }
        const from = bytes.indexOf(0, Math.max(0, bytes.length - this.mark.length));
        if (from >= 0 && this.mark.subarray(0, bytes.length - from).equals(bytes.subarray(from))) {
          this.held = bytes.subarray(from);
          bytes = bytes.subarray(0, from);
        }
      }
      this.write(bytes);
    }

    write(bytes) {
      if (current) current.text(this.stream, this.decoder.write(bytes));
      else late(bytes);
    }
  }

  function late(bytes) {
    try { fs.writeSync(1, bytes); } catch { /* nobody reads it */ }
  }

  function startWorker() {
    const child = spawn(
      process.execPath, ['--expose-internals', '-e', SOURCE, 'worker', language],
      { stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'], detached: true });
    const self = { child, out: new Gathered('stdout'), err: new Gathered('stderr'), done: null };
    worker = self;
    count = 0;
    const [, out, err, events, orders, breaks] = child.stdio;
    self.orders = orders;
    self.breaks = breaks;
    for (const pipe of [orders, breaks, out, err, events]) pipe.on('error', () => {});
    out.on('data', (piece) => self.out.take(piece));
    err.on('data', (piece) => self.err.take(piece));
    const read = lineReader(LINE_MAX, (line) => told(self, line));
    events.on('data', (piece) => { if (!read(piece)) kill(self, 'SIGKILL'); });
    child.on('error', () => died(self, null, 'SIGKILL'));
    // What it wrote last may still be under way.
    child.on('exit', (code, signal) => setTimeout(() => died(self, code, signal), 30));
  }

  function kill(which, signal) {
    const pid = which.child.pid;
    if (pid === undefined || which.gone) return;
    for (const target of [-pid, pid]) {
      try { process.kill(target, signal); return; } catch { /* try the next */ }
    }
  }

  function died(which, code, signal) {
    if (which !== worker) return;
    kill(which, 'SIGKILL');
    which.gone = true;
    worker = null;
    lost = true;
    if (!greeted) {
      fs.writeSync(2, 'the interpreter ended before it was ready\n');
      process.exit(1);
    }
    const run = current;
    if (run === null) return;
    let text;
    if (run.cause === 'timed_out') {
      text = `the run did not end within ${INTERRUPT_GRACE / 1000} s of its interrupt, so its ` +
        'interpreter was ended';
    } else if (run.cause) {
      text = 'the interpreter was ended, because the run did not heed its interrupt';
    } else if (signal) {
      text = `the interpreter was ended by ${signal} while it ran this code`;
    } else {
      text = `the interpreter exited with code ${code} while it ran this code`;
    }
    text += '; its variables are gone, and the next run begins with a fresh one';
    run.send({ t: 'error', name: 'InterpreterDied', message: text, traceback: '' });
    finish(run.cause || 'died');
  }

  // One line of the worker: `kind json`.
  function told(from, line) {
    const space = line.indexOf(32);
    const kind = line.toString('latin1', 0, space < 0 ? line.length : space);
    const body = space < 0 ? '' : line.toString('utf8', space + 1);
    if (kind === 'ready' || kind === 'unsupported') {
      if (!greeted) {
        greeted = true;
        fs.writeSync(1, encode(kind === 'ready' ? { t: 'ready', version: process.version }
          : { t: 'unsupported', message: body }) + '\n');
        if (kind === 'unsupported') process.exit(0);
      }
    } else if (from !== worker) {
      return;
    } else if (kind === 'stdout' || kind === 'stderr') {
      let text;
      try { text = JSON.parse(body); } catch { return; }
      if (typeof text !== 'string') return;
      if (current) current.text(kind, text);
      else late(text);
    } else if (kind === 'executing') {
      if (current) {
        current.executes = true;
        if (current.cause) kill(from, 'SIGINT');
      }
    } else if (kind === 'event' && current) {
      current.outputs += body.length;
      if (current.outputs <= OUTPUTS_MAX + LINE_MAX) current.sendLine(body);
    } else if (kind === 'done' && current) {
      from.done = body === 'error' ? 'error' : 'ok';
      const run = current;
      run.after(MARK_PATIENCE, () => { if (run === current) finish(run.cause || from.done); });
      marked();
    }
  }

  // Both streams have come to the end of the run, and the worker has said so.
  function marked() {
    if (current && worker && worker.done && !worker.out.mark && !worker.err.mark) {
      finish(current.cause || worker.done);
    }
  }

  // Whether all that were accepted before it have come, or had their time to.
  function isDue(run) {
    return run.waited || run.request.after.every((id) => seen.has(id));
  }

  function next() {
    while (current === null && queue.length > 0 && isDue(queue[0])) {
      const run = queue.shift();
      if (worker === null) startWorker();
      for (const gathered of [worker.out, worker.err]) gathered.reset();
      count += 1;
      current = run;
      run.began = process.hrtime.bigint();
      run.send({ t: 'begin', n: count, restarted: lost });
      lost = false;
      const mark = Buffer.from('\0pinfold:' + crypto.randomBytes(12).toString('hex') + '\0');
      worker.done = null;
      worker.out.mark = mark;
      worker.err.mark = mark;
      worker.orders.write(encode({
        n: count, code: run.request.code, cwd: run.request.cwd || null, mark: mark.toString(),
      }) + '\n');
    }
  }

  function interrupt(run, cause) {
    if (run !== current) {
      const at = queue.indexOf(run);
      if (at >= 0) {
        queue.splice(at, 1);
        run.send({
          t: 'error', name: 'NotBegun', traceback: '',
          message: 'the run was ended before it began: earlier runs of its context took too long',
        });
        run.send({ t: 'complete', status: cause, n: 0, ms: 0, kept: true });
      }
      run.end();
      // Another may have become the first.
      next();
      return;
    }
    if (run.executes) kill(worker, 'SIGINT');
    if (run.cause) return;
    run.cause = cause;
    run.after(TERMINATE_AFTER, () => {
      if (run === current && worker && !worker.done) worker.breaks.write('x');
    });
    run.after(INTERRUPT_GRACE, () => {
      if (run === current && worker) kill(worker, 'SIGKILL');
    });
  }

  function finish(status) {
    const run = current;
    current = null;
    if (worker) for (const gathered of [worker.out, worker.err]) gathered.mark = null;
    const ms = Number(process.hrtime.bigint() - run.began) / 1e6;
    run.send({ t: 'complete', status, n: count, ms, kept: worker !== null });
    run.end();
    next();
  }

  function accept(link) {
    // The engine admits fewer at once, but those that it admits at one instant are not counted yet.
    if (connections > 2 * QUEUE_MAX) {
      link.destroy();
      return;
    }
    connections += 1;
    const run = new Run(link);
    const read = lineReader(REQUEST_MAX, (line) => {
      if (run.request !== null) {
        interrupt(run, 'interrupted');
        return;
      }
      let request;
      try { request = JSON.parse(line.toString()); } catch { request = null; }
      if (request === null || typeof request.code !== 'string' || !(request.timeout > 0) ||
          typeof request.id !== 'string' || !Array.isArray(request.after)) {
        link.destroy();
        return;
      }
      run.request = request;
      run.after(request.timeout * 1000, () => interrupt(run, 'timed_out'));
      run.after(EARLIER_GRACE, () => { run.waited = true; next(); });
      seen.add(request.id);
      if (seen.size > SEEN_MAX) seen.delete(seen.values().next().value);
      // Before those that were accepted behind it and came first.
      const at = queue.findIndex((other) => other.request.after.includes(request.id));
      queue.splice(at < 0 ? queue.length : at, 0, run);
      next();
    });
    link.on('data', (piece) => { if (!read(piece)) link.destroy(); });
    link.on('error', () => {});
    link.on('close', () => {
      connections -= 1;
      if (run === current || queue.includes(run)) interrupt(run, 'interrupted');
    });
  }

  function listen() {
    const [, context, generation] = /^(.*)-(\d+)$/.exec(name);
    for (const base of ['/dev/shm', '/tmp']) {
      // What the context's last interpreter left.
      const before = `${base}/.pinfold-${context}-${generation - 1}`;
      fs.rmSync(before, { recursive: true, force: true });
      const directory = `${base}/.pinfold-${name}`;
      try {
        fs.mkdirSync(directory, 0o700);
        fs.chmodSync(directory, 0o700);
        return directory + '/socket';
      } catch { /* try the next */ }
    }
    fs.writeSync(2, "no place for the interpreter's socket\n");
    return process.exit(1);
  }

  net.createServer({ allowHalfOpen: false }, accept).listen(listen(), startWorker);
}
