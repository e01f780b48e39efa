// Joined behind interpreter.js, whose bounds and helpers it uses.

// -- the worker: the only process that runs code -----------------------------------------------------

const TEXT_MAX = 1 << 20;
const BINARY_MAX = 6 << 20;
const COUNT_MAX = 256;
const TRACEBACK_MAX = 64 << 10;

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
    tell('executing', '');
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
