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

const TEXT_MAX = 1 << 20;
const BINARY_MAX = 6 << 20;
const COUNT_MAX = 256;
const TRACEBACK_MAX = 64 << 10;

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
    kill(worker, 'SIGINT');
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

// -- the worker: the only process that runs code -----------------------------------------------------

function work(language) {
  const inspector = require('inspector');
  const module_ = require('module');
  const net = require('net');
  const path = require('path');
  const util = require('util');
  const url = require('url');
  const { Worker } = require('worker_threads');

  const reallyExit = process.reallyExit.bind(process);
  const GRAB = Symbol.for('pinfold.grab');
  const session = new inspector.Session();
  session.connect();

  let room = OUTPUTS_MAX;
  let shown = 0;
  let stop = null;

  // Blocks until all is written, whatever mode the pipe is in.
  function put(fd, text) {
    let bytes = Buffer.from(text);
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(fs.writeSync(fd, bytes));
      } catch (error) {
        if (error.code !== 'EAGAIN') return;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      }
    }
  }

  function tell(kind, body) {
    put(3, `${kind} ${body}\n`);
  }

  for (const name of ['stdout', 'stderr']) {
    process[name].write = (data, encoding, done) => {
      const text = typeof data === 'string' ? data : Buffer.from(data).toString('utf8');
      for (let at = 0; at < text.length && at <= STREAMS_MAX; at += 1 << 16) {
        tell(name, encode(text.slice(at, at + (1 << 16))));
      }
      const then = typeof encoding === 'function' ? encoding : done;
      if (typeof then === 'function') process.nextTick(then);
      return true;
    };
  }

  class Exit extends Error {
    constructor(code) {
      super(`the code asked to exit with ${code}`);
      this.name = 'Exit';
      this.code = code;
    }
  }

  process.exit = (code) => {
    throw new Exit(code === undefined ? process.exitCode || 0 : code);
  };
  process.on('uncaughtException', (error) => {
    if (!(error instanceof Exit)) process.stderr.write(`Uncaught ${story(error)}\n`);
  });
  process.on('unhandledRejection', (error) => {
    if (!(error instanceof Exit)) process.stderr.write(`Unhandled rejection: ${story(error)}\n`);
  });
  process.on('SIGINT', () => { if (stop) stop(); });

  const breaker = new Worker(`
    const { Session } = require('inspector');
    const session = new Session();
    session.connectToMainThread();
    const pipe = new (require('net').Socket)({ fd: 5, readable: true, writable: false });
    pipe.on('data', () => session.post('Runtime.terminateExecution', () => {}));
    pipe.on('error', () => {});
  `, { eval: true, stdout: false, stderr: false, execArgv: [] });
  breaker.unref();
  breaker.on('error', () => {});

  // -- errors ------------------------------------------------------------------------------------

  // The error's story with the code's own frames and those of its packages.
  function story(error) {
    if (!(error instanceof Error) && !(error && typeof error.stack === 'string')) {
      return inspect(error);
    }
    let text = String(error.stack || `${error.name}: ${error.message}`)
      .split('\n')
      .filter((line) => !/^\s+at /.test(line) || !/node:|\[eval\]|<anonymous>\)?$/.test(line))
      .join('\n');
    if (error.cause !== undefined) text += `\nCaused by: ${inspect(error.cause)}`;
    return text.slice(0, TRACEBACK_MAX);
  }

  function inspect(value) {
    try {
      return util.inspect(value, { maxStringLength: TEXT_MAX + 1 });
    } catch (error) {
      return `<its inspection failed: ${String(error && error.message).slice(0, 500)}>`;
    }
  }

  function describe(error, details, source) {
    if (error instanceof Exit) {
      if (Number(error.code) === 0) return null;
      return { t: 'error', name: 'Exit', message: error.message, traceback: '' };
    }
    const named = error !== null && typeof error === 'object';
    let name = 'Error';
    let message;
    try {
      name = String((named && error.name) || (named ? 'Error' : 'Uncaught'));
      message = named && 'message' in error ? String(error.message) : inspect(error);
    } catch {
      message = '<no text>';
    }
    let traceback = '';
    try { traceback = story(error); } catch { /* it has none to tell */ }
    if (name === 'SyntaxError' && details && details.lineNumber >= 0) {
      const line = source.split('\n')[details.lineNumber] || '';
      traceback = `code:${details.lineNumber + 1}\n${line}\n` +
        `${' '.repeat(Math.max(0, details.columnNumber))}^\n${traceback}`;
    }
    return {
      t: 'error', name: name.slice(0, 200), message: message.slice(0, TRACEBACK_MAX),
      traceback: traceback.slice(0, TRACEBACK_MAX),
    };
  }

  // -- outputs -----------------------------------------------------------------------------------

  const DISPLAY = Symbol.for('Jupyter.display');
  const BINARY = /^(image\/(?!svg)|application\/pdf)/;

  async function bundle(value, rejected) {
    const data = {};
    const offered = value !== null && ['object', 'function'].includes(typeof value) &&
      value[DISPLAY];
    if (typeof offered === 'function') {
      try {
        Object.assign(data, await offered.call(value));
      } catch (error) {
        rejected.push({ format: 'application/x-mimebundle', reason: reason(error) });
      }
    }
    if (!('text/plain' in data)) data['text/plain'] = inspect(value);
    return data;
  }

  function reason(error) {
    return String((error && error.message) || error).slice(0, 500);
  }

  function fitted(data, rejected) {
    const kept = {};
    const truncated = [];
    for (const [name, given] of Object.entries(data).slice(0, 16)) {
      const form = name.slice(0, 100);
      let value = given;
      if (form === 'application/json' || form.endsWith('+json')) {
        const text = JSON.stringify(value);
        if (text === undefined) {
          rejected.push({ format: form, reason: 'no JSON' });
        } else if (text.length > TEXT_MAX) {
          rejected.push({ format: form, reason: 'more than 1 MiB of JSON', large: true });
        } else {
          kept[form] = JSON.parse(text);
        }
        continue;
      }
      if (BINARY.test(form)) {
        if (ArrayBuffer.isView(value)) value = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
        value = String(value);
        if (value.length > BINARY_MAX * 4 / 3 + 4) {
          rejected.push({ format: form, reason: 'more than 6 MiB', large: true });
          continue;
        }
      } else {
        value = String(value);
        if (value.length > TEXT_MAX && form !== 'text/plain') {
          rejected.push({ format: form, reason: 'more than 1 MiB of text', large: true });
          continue;
        }
        if (value.length > TEXT_MAX) {
          value = value.slice(0, TEXT_MAX);
          truncated.push(form);
        }
      }
      kept[form] = value;
    }
    return { data: kept, truncated };
  }

  function emit(given, rejected, result) {
    const { data, truncated } = fitted(given, rejected);
    shown += 1;
    let line = encode({ t: 'output', data, rejected, truncated, result });
    if (shown > COUNT_MAX || line.length > room) {
      if (shown > COUNT_MAX + 1) return;
      const why = 'the run shows more than 256 outputs or 16 MiB';
      const forms = Object.keys(data).map((format) => ({ format, reason: why, large: true }));
      line = encode({ t: 'output', data: {}, rejected: forms, truncated: [], result });
      shown = Math.max(shown, COUNT_MAX + 1);
    }
    room -= line.length;
    tell('event', line);
  }

  async function show(value, result) {
    const rejected = [];
    emit(await bundle(value, rejected), rejected, result);
  }

  // -- running -----------------------------------------------------------------------------------

  function hidden(name, value) {
    Object.defineProperty(globalThis, name, {
      value, writable: true, configurable: true, enumerable: false,
    });
  }

  let grabbed;
  hidden(GRAB, (value) => { grabbed = value; });
  // Shows a value as an output of the run; `{raw: true}`: a dict of media type to content.
  hidden('display', async (value, options) => {
    if (options && options.raw) emit(Object(value), [], false);
    else await show(value, false);
  });
  hidden('__pinfold_import', async (name) => {
    const text = String(name);
    if (/^\.{0,2}\//.test(text)) return import(url.pathToFileURL(path.resolve(text)).href);
    if (/^[a-z]+:/.test(text) || module_.builtinModules.includes(text)) return import(text);
    try {
      return await import(url.pathToFileURL(globalThis.require.resolve(text)).href);
    } catch (error) {
      if (!/NOT_FOUND|NOT_EXPORTED|UNSUPPORTED|REQUIRE_ESM/.test(String(error && error.code))) throw error;
      return import(text);
    }
  });

  let acorn = null;
  try { acorn = require('internal/deps/acorn/acorn/dist/acorn'); } catch { /* no static imports */ }

  // Scripts know no static import or export: they become what they mean in a run.
  function asScript(source) {
    if (acorn === null || !/\b(import|export)\b/.test(source)) return source;
    let tree;
    try {
      tree = acorn.parse(source, {
        ecmaVersion: 'latest', sourceType: 'module', allowAwaitOutsideFunction: true,
        allowHashBang: true, allowReturnOutsideFunction: true, allowUndeclaredExports: true,
      });
    } catch {
      return source;
    }
    const edits = [];
    const visit = (node) => {
      if (Array.isArray(node)) { node.forEach(visit); return; }
      if (node === null || typeof node !== 'object' || typeof node.type !== 'string') return;
      if (node.type === 'ImportDeclaration') {
        edits.push([node.start, node.end, imported(node)]);
        return;
      }
      if (node.type === 'ImportExpression') edits.push([node.start, node.start + 6, '__pinfold_import']);
      if (node.type === 'MetaProperty' && node.meta.name === 'import') {
        edits.push([node.start, node.end, '({url: "file://" + process.cwd() + "/code", dirname: process.cwd()})']);
      }
      if (node.type === 'ExportNamedDeclaration') {
        if (node.declaration) edits.push([node.start, node.declaration.start, '']);
        else edits.push([node.start, node.end, node.source ? `await __pinfold_import(${node.source.raw});` : '']);
      }
      if (node.type === 'ExportDefaultDeclaration') {
        const is = node.declaration.type;
        const named = /Declaration$/.test(is) && node.declaration.id;
        edits.push([node.start, node.declaration.start, named ? '' : 'void ']);
      }
      if (node.type === 'ExportAllDeclaration') {
        edits.push([node.start, node.end, `await __pinfold_import(${node.source.raw});`]);
      }
      for (const key of Object.keys(node)) if (key !== 'type') visit(node[key]);
    };
    visit(tree.body);
    edits.sort((a, b) => b[0] - a[0]);
    return edits.reduce((text, [start, end, by]) => text.slice(0, start) + by + text.slice(end), source);
  }

  function imported(node) {
    const from = `await __pinfold_import(${node.source.raw})`;
    const names = [];
    const whole = [];
    for (const one of node.specifiers) {
      if (one.type === 'ImportNamespaceSpecifier') whole.push(one.local.name);
      else {
        const name = one.type === 'ImportDefaultSpecifier' ? 'default' :
          (one.imported.name || JSON.stringify(one.imported.value));
        names.push(`${name}: ${one.local.name}`);
      }
    }
    const parts = whole.map((name) => `const ${name} = ${from};`);
    if (names.length) parts.push(`const {${names.join(', ')}} = ${from};`);
    return parts.length ? parts.join(' ') : `${from};`;
  }

  // How types are taken off, or null.
  function stripper() {
    if (typeof module_.stripTypeScriptTypes === 'function') {
      return (source) => {
        const warn = process.emitWarning;
        process.emitWarning = () => {};
        try {
          return module_.stripTypeScriptTypes(source);
        } catch (error) {
          if (error.code !== 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') throw error;
          return module_.stripTypeScriptTypes(source, { mode: 'transform' });
        } finally {
          process.emitWarning = warn;
        }
      };
    }
    try {
      const typescript = module_.createRequire(path.resolve('code.js'))('typescript');
      const options = { target: 'esnext', module: 'esnext', verbatimModuleSyntax: false };
      return (source) => {
        const made = typescript.transpileModule(source, { compilerOptions: options, reportDiagnostics: true });
        const wrong = (made.diagnostics || [])[0];
        if (wrong) throw new SyntaxError(typescript.flattenDiagnosticMessageText(wrong.messageText, '\n'));
        return made.outputText;
      };
    } catch {
      return null;
    }
  }

  function value(remote) {
    if (remote.objectId !== undefined) {
      grabbed = undefined;
      session.post('Runtime.callFunctionOn', {
        objectId: remote.objectId,
        functionDeclaration: 'function () { globalThis[Symbol.for("pinfold.grab")](this); }',
      }, () => {});
      session.post('Runtime.releaseObject', { objectId: remote.objectId }, () => {});
      return grabbed;
    }
    if (remote.unserializableValue !== undefined) {
      const text = remote.unserializableValue;
      return text.endsWith('n') ? BigInt(text.slice(0, -1)) : Number(text);
    }
    return remote.subtype === 'null' ? null : remote.value;
  }

  function evaluate(source, n) {
    return new Promise((resolve) => {
      session.post('Runtime.evaluate', {
        expression: `${source}\n//# sourceURL=code-${n}`, replMode: true, awaitPromise: true,
      }, (error, answer) => resolve({ error, answer }));
    });
  }

  class Interrupted extends Error {
    constructor() {
      super('the run was interrupted');
      this.name = 'Interrupted';
      this.stack = '';
    }
  }

  const strip = language === 'typescript' ? stripper() : null;

  async function run(order) {
    room = OUTPUTS_MAX;
    shown = 0;
    const interrupted = new Promise((resolve) => { stop = () => resolve({ interrupted: true }); });
    const before = order.cwd ? process.cwd() : null;
    let source = order.code;
    try {
      if (order.cwd) process.chdir(order.cwd);
      const base = path.resolve('code.js');
      hidden('require', module_.createRequire(base));
      hidden('__dirname', process.cwd());
      hidden('__filename', base);
      if (strip) source = strip(source);
      const found = await Promise.race([evaluate(asScript(source), order.n), interrupted]);
      if (found.interrupted) return describe(new Interrupted());
      // The inspector itself fails only for code that was terminated.
      if (found.error) return describe(new Interrupted());
      const { result, exceptionDetails } = found.answer;
      if (exceptionDetails) {
        const thrown = exceptionDetails.exception;
        return describe(thrown ? value(thrown) : new Error(exceptionDetails.text), exceptionDetails, source);
      }
      const last = value(result);
      if (last !== undefined) await Promise.race([show(last, true), interrupted]);
      return null;
    } catch (error) {
      return describe(error, null, source);
    } finally {
      stop = null;
      if (before !== null) try { process.chdir(before); } catch { /* it is gone */ }
    }
  }

  async function take(order) {
    const error = await run(order);
    if (error !== null) tell('event', encode(error));
    for (const fd of [1, 2]) put(fd, order.mark);
    tell('done', error === null ? 'ok' : 'error');
  }

  if (language === 'typescript' && strip === null) {
    put(3, `unsupported TypeScript needs node 22.13 or newer (here is ${process.version}), or the ` +
      'package typescript where the code runs\n');
    reallyExit(0);
  }
  hidden('module', { exports: {} });
  hidden('exports', {});
  let orders = Promise.resolve();
  const read = lineReader(4 << 20, (line) => {
    const order = JSON.parse(line.toString());
    orders = orders.then(() => take(order)).catch(() => {});
  });
  const pipe = new net.Socket({ fd: 4, readable: true, writable: false });
  pipe.on('data', read);
  pipe.on('close', () => reallyExit(0));
  pipe.on('error', () => reallyExit(0));
  tell('ready', process.version);
}

const [first, second, third] = process.argv.slice(1);
if (first === 'worker') work(second);
else supervise(first, second === 'again', third);
