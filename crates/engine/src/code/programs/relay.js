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

const link = net.connect(find());
link.on('error', () => process.exit(69));
link.on('connect', () => {
  link.removeAllListeners('error');
  link.on('error', () => process.exit(0));
  link.write(pieces.join('') + '\n');
});
link.pipe(process.stdout);
link.on('end', () => link.destroy());
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => link.write('interrupt\n'));
}
