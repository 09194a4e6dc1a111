import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, sign, verify, X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { exampleDefinition } from '#test/support/example-node.ts';
import { issueClient, makeAuthority, makeServiceAccountKeys, publicKeyHash } from './cluster-pki.ts';
import { kubeadm } from './kubeadm.ts';

const AT = new Date('2026-11-26T12:00:00Z');
const HOUR_MS = 3_600_000;

describe('a cluster’s certificates', () => {
  it('are authorities for ten years that begin before the clocks of new machines', async () => {
    const { certificate, key } = await makeAuthority('kubernetes', AT);

    const read = new X509Certificate(certificate);
    assert.equal(read.subject, 'CN=kubernetes');
    assert.equal(read.subjectAltName, 'DNS:kubernetes');
    assert.ok(read.ca && read.verify(read.publicKey) && read.checkPrivateKey(createPrivateKey(key)));
    assert.equal(read.validFromDate.toISOString(), '2026-11-25T12:00:00.000Z');
    assert.equal(read.validToDate.getUTCFullYear(), 2036);
  });

  it('differ in every key and number', async () => {
    const [one, other] = await Promise.all([makeAuthority('kubernetes', AT), makeAuthority('kubernetes', AT)]);

    assert.notEqual(one.key, other.key);
    assert.notEqual(
      new X509Certificate(one.certificate).serialNumber,
      new X509Certificate(other.certificate).serialNumber,
    );
  });

  it('name a client and its groups, and end no later than their authority', async () => {
    const authority = await makeAuthority('kubernetes', AT);
    const identity = { commonName: 'kubernetes-admin', organizations: ['system:masters', 'other'] };

    const short = await issueClient(authority, identity, { at: AT, lifeMs: HOUR_MS });
    const long = await issueClient(authority, identity, { at: AT, lifeMs: 100_000 * 24 * HOUR_MS });

    const issuer = new X509Certificate(authority.certificate);
    const read = new X509Certificate(short.certificate);
    assert.equal(read.subject, 'O=system:masters\nO=other\nCN=kubernetes-admin');
    assert.ok(!read.ca && read.checkIssued(issuer) && read.verify(issuer.publicKey));
    assert.deepEqual(read.keyUsage, ['1.3.6.1.5.5.7.3.2']);
    assert.equal(read.validToDate.getTime(), AT.getTime() + HOUR_MS);
    assert.equal(new X509Certificate(long.certificate).validTo, issuer.validTo);
  });

  it('sign service-account tokens with an RSA pair that belongs together', async () => {
    const { publicKey, privateKey } = await makeServiceAccountKeys();

    const signature = sign('sha256', Buffer.from('token'), privateKey);

    assert.ok(verify('sha256', Buffer.from('token'), createPublicKey(publicKey), signature));
    assert.match(privateKey, /^-----BEGIN RSA PRIVATE KEY-----\n/);
  });

  it('are pinned by the hash that kubeadm and openssl compute', () => {
    // openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | sha256sum
    const certificate = `-----BEGIN CERTIFICATE-----
MIIBgjCCASegAwIBAgIUK/uxLu9X9CwkIWDw8QtDziKMVlYwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKa3ViZXJuZXRlczAgFw0yNjExMjYxMzU4MjlaGA8yMTI2MTEw
MjEzNTgyOVowFTETMBEGA1UEAwwKa3ViZXJuZXRlczBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABImGDghsO19GuT4K+d6+pcFjVNU7ICyk1MGhjzs5/renDyOv81ib
5880+ekuDtZjYwpVTgu7BzZpfOQJ6hnjxcmjUzBRMB0GA1UdDgQWBBS1tesnlL5l
fz0AZwlsSgFwmGpgYTAfBgNVHSMEGDAWgBS1tesnlL5lfz0AZwlsSgFwmGpgYTAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQD3ngi1S65SWF/dZiOE
xVLEW/1voJDJfNuisY9fsyVj7gIhAINpcfoIM4yxHVEsIdxQ/EfnpTATwqzQsb6d
1ZdP/r5i
-----END CERTIFICATE-----
`;

    assert.equal(publicKeyHash(certificate), 'sha256:dea1e092412a8416f88686f97c38b37e69ec5de7937b4e84e7bce5fc5fa1e8a7');
  });
});

describe('the administrator’s kubeconfig', () => {
  it('holds all that it needs and verifies against the cluster’s authority', async () => {
    const definition = exampleDefinition();
    const secrets = await kubeadm.makeSecrets(definition, AT);

    const config = parse((await kubeadm.kubeconfig(definition, secrets, AT)) ?? '');

    assert.equal(config.clusters[0].cluster.server, 'https://10.0.0.10:6443');
    const authority = new X509Certificate(decoded(config.clusters[0].cluster['certificate-authority-data']));
    const client = new X509Certificate(decoded(config.users[0].user['client-certificate-data']));
    assert.ok(client.verify(authority.publicKey));
    assert.ok(client.checkPrivateKey(createPrivateKey(decoded(config.users[0].user['client-key-data']))));
    assert.equal(config['current-context'], config.contexts[0].name);
    assert.deepEqual(config.contexts[0].context, { cluster: 'mgmt', user: 'mgmt-admin' });
  });

  it('speaks for the group that kubeadm gives administrators in that version', async () => {
    const subjects: (string | undefined)[] = [];
    for (const kubernetesVersion of ['1.28', '1.29']) {
      const definition = exampleDefinition({ cluster: { kubernetesVersion } });
      const secrets = await kubeadm.makeSecrets(definition, AT);
      const config = parse((await kubeadm.kubeconfig(definition, secrets, AT)) ?? '');
      const pem = Buffer.from(config.users[0].user['client-certificate-data'], 'base64');
      subjects.push(new X509Certificate(pem).subject);
    }

    assert.deepEqual(subjects, [
      'O=system:masters\nCN=kubernetes-admin',
      'O=kubeadm:cluster-admins\nCN=kubernetes-admin',
    ]);
  });
});

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}
