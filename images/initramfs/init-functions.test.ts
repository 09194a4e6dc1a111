import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { BOOT_PARAMETERS } from '#proto/boot-parameters.ts';
import { runProgram } from '../packages/run-program.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tinsmith-init-'));
  await mkdir(join(directory, 'bin'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** Puts a program of the boot environment in front of the machine's own. */
async function stub(name: string, script: string): Promise<void> {
  await writeFile(join(directory, 'bin', name), `#!/bin/sh\n${script}\n`);
  await chmod(join(directory, 'bin', name), 0o755);
}

/** Runs shell lines after the init's functions were read; every program that touches the machine must be a stub. */
async function run(lines: string): Promise<string> {
  const env = { ...process.env, PATH: `${join(directory, 'bin')}:${process.env['PATH'] ?? ''}` };
  const functions = join(import.meta.dirname, 'init-functions');
  return runProgram(['sh', '-u', '-c', `. ${functions}\nsay() { echo "say $*"; }\n${lines}`], { env, cwd: directory });
}

const given = (ip: string): string => `interface=eth0 resolv_conf=${directory}/resolv.conf p_ip=${ip}\n`;

describe('read_parameters', () => {
  const show = `echo "$p_mac|$p_ip|$p_giveup|$p_shell|$p_vlan"`;

  it('takes the values that the server writes, by the names of the contract', async () => {
    const { mac, ip, giveUp, shell, vlan, token } = BOOT_PARAMETERS;
    const line = `quiet ${token}=se-cret_1 ${mac}=52-54-00-AB-cd-01 ${ip}=10.0.0.5/255.255.255.0/10.0.0.1/ ${giveUp}=30 ${shell}=1 ${vlan}=12`;

    assert.equal(
      await run(`read_parameters '${line}'; ${show}`),
      '52:54:00:ab:cd:01|10.0.0.5/255.255.255.0/10.0.0.1/|30|1|12\n',
    );
  });

  it('lets the last value of a name win and falls back to ten minutes', async () => {
    assert.equal(await run(`read_parameters 'vlan_id=1 vlan_id=2 tinsmith.giveup=soon'; ${show}`), '||600||2\n');
  });
});

describe('load_modules', () => {
  it('asks for each alias once, whatever rounds it takes, and never as a pattern of file names', async () => {
    await stub('modprobe', `echo "modprobe $*" >>${directory}/asked`);
    // Bringing up the bus shows a second device; an empty alias and a repeated one are skipped.
    const devices = `device_aliases() {
      echo 'pci:v00001AF4d00001000*'; echo; echo 'pci:v00001AF4d00001000*'
      if [ -e ${directory}/asked ]; then echo 'virtio:d00000001v00001AF4'; fi
    }`;
    await writeFile(join(directory, 'pci:v00001AF4d00001000-file'), '');

    await run(`${devices}\nload_modules; load_modules`);

    const always = 'modprobe -q -a -b sd_mod af_packet efivarfs';
    assert.deepEqual((await readFile(join(directory, 'asked'), 'utf8')).trim().split('\n'), [
      'modprobe -q -a -b pci:v00001AF4d00001000*',
      'modprobe -q -a -b virtio:d00000001v00001AF4',
      always,
      always,
    ]);
  });
});

describe('use_given_address', () => {
  beforeEach(async () => {
    await stub('ip', 'echo "ip $*"');
    await stub('ipcalc', 'echo PREFIX=24');
  });

  it('uses address, gateway and name servers as the boot loader got them', async () => {
    const said = await run(
      `${given('10.0.0.5/255.255.255.0/10.0.0.1/10.0.0.2,10.0.0.3')}use_given_address && echo "$address"`,
    );

    assert.equal(
      said,
      'ip addr add 10.0.0.5/24 broadcast + dev eth0\nip route add default via 10.0.0.1 dev eth0\n10.0.0.5/24\n',
    );
    assert.equal(await readFile(join(directory, 'resolv.conf'), 'utf8'), 'nameserver 10.0.0.2\nnameserver 10.0.0.3\n');
  });

  it('does without gateway and name server', async () => {
    const said = await run(`${given('10.0.0.5/255.255.255.0//')}use_given_address && echo "$address"`);

    assert.equal(said, 'ip addr add 10.0.0.5/24 broadcast + dev eth0\n10.0.0.5/24\n');
    assert.equal(await readFile(join(directory, 'resolv.conf'), 'utf8'), '');
  });

  it('leaves it to DHCP when nothing was given or it is no address', async () => {
    await stub('ipcalc', 'exit 1');

    assert.equal(await run(`${given('')}use_given_address || echo dhcp`), 'dhcp\n');
    assert.equal(await run(`${given('rubbish')}use_given_address || echo dhcp`), 'dhcp\n');
  });
});

describe('supervise_agent', () => {
  /** What ends a machine ends the shell here; a second `leave` must not be reached. */
  const rehearsal = `power_file=power\nsleep() { echo "sleep $1"; }\nsetsid() { echo "shell"; }\nleave() { echo "leave $1"; exit 0; }\n`;

  it('does what the agent wrote when it ends with 0', async () => {
    await stub('tinsmith-agent', 'echo kexec >power');

    assert.match(await run(`${rehearsal}p_shell=\nsupervise_agent`), /say agent ended with 0\nleave kexec\n$/);
  });

  it('lets the agent set the clock, which is nobody else’s', async () => {
    await stub('tinsmith-agent', 'echo "clock $TINSMITH_SET_CLOCK"; echo kexec >power');

    assert.match(await run(`${rehearsal}p_shell=\nsupervise_agent`), /\nclock 1\n/);
  });

  it('restarts the machine when the server cannot be reached', async () => {
    await stub('tinsmith-agent', 'exit 69');

    assert.match(
      await run(`${rehearsal}p_shell=\nsupervise_agent`),
      /giving up: the server cannot be reached\nleave reboot\n$/,
    );
  });

  it('starts a dead agent again, slower each time, but not for ever', async () => {
    await stub('tinsmith-agent', 'echo run >>runs; exit 137');

    const said = await run(`${rehearsal}p_shell=\nsupervise_agent`);

    assert.equal((await readFile(join(directory, 'runs'), 'utf8')).split('run').length - 1, 11);
    assert.deepEqual([...said.matchAll(/sleep (\d)/g)].map(([, seconds]) => seconds).join(''), '1234555555');
    assert.match(said, /the agent dies again and again\nleave reboot\n$/);
  });

  it('gives a shell only where one was asked for', async () => {
    await stub('tinsmith-agent', 'exit 69');

    assert.match(await run(`${rehearsal}p_shell=1\nsupervise_agent`), /\nshell\nleave reboot\n$/);
    assert.doesNotMatch(await run(`${rehearsal}p_shell=0\nsupervise_agent`), /shell/);
  });
});
