import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { namedPath } from './named-path.ts';

describe('the path of what has a name', () => {
  it('has the name in one piece', () => {
    assert.equal(namedPath('/images', 'debian-12'), '/images/debian-12');
    for (const name of ['a/../b', '../b', 'a?b', '%2e%2e', '...', ' ..']) {
      const { pathname } = new URL(`http://h${namedPath('/images', name)}/verify`);
      assert.equal(pathname, `/images/${encodeURIComponent(name)}/verify`);
    }
  });

  it('is of no name that a URL reads as a folder, nor of one that is too long', () => {
    for (const name of ['.', '..', 'a'.repeat(254)]) {
      assert.throws(() => namedPath('/images', name), { code: 'invalid_input', message: /^nothing can be named "/ });
    }
  });
});
