// One run of code where the sandbox has no python3; the same as relay.py.
'use strict';
const fs = require('fs');
const net = require('net');

const [name, ...pieces] = process.argv.slice(1);

function find() {
  for (const base of ['/dev/shm', '/tmp']) {
    const directory = `${base}/.pinfold-${name}`;
    try {
      const stat = fs.lstatSync(directory);
      // A directory of ours that nobody else may enter.
      if (stat.isDirectory() && (stat.mode & 0o77) === 0 && stat.uid === process.geteuid()) {
        return directory + '/socket';
      }
    } catch {
      continue;
    }
  }
  return process.exit(69);
}

// 69: no interpreter, or it took nothing; 70: it was gone in the middle; 0: it said how the run ended.
process.exitCode = 69;
let last = '';
const link = net.connect(find());
link.on('error', () => process.exit());
// First of all, also where a signal comes before the connection stands.
link.write(pieces.join('') + '\n');
link.pipe(process.stdout);
link.on('data', (data) => {
  last = (last + data.toString('latin1')).slice(-512);
  const line = last.slice(last.lastIndexOf('\n', last.length - 2) + 1);
  process.exitCode = /^\{"t": ?"complete"/.test(line) ? 0 : 70;
});
link.on('end', () => link.destroy());
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => link.write('interrupt\n'));
}
