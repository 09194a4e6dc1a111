import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { REFUSED_FUNCTIONS } from './functions-refused.ts';
import { type MissingKey, parseTemplate, renderTemplate } from './go-template.ts';

interface Case {
  readonly template: string;
  readonly data: string;
  readonly missingKey?: MissingKey;
  readonly output?: string;
  readonly error?: string;
  readonly line?: number;
}

interface Conformance {
  readonly data: Readonly<Record<string, unknown>>;
  readonly cases: readonly Case[];
}

const FIXTURE = join(import.meta.dirname, '../../../test/fixtures/go-template/cases.json');
const conformance = JSON.parse(readFileSync(FIXTURE, 'utf8')) as Conformance;

describe('what real Go renders, byte for byte', () => {
  for (const [
    index,
    { template, data, missingKey = 'error', output, error = '', line = 0 },
  ] of conformance.cases.entries()) {
    it(`case ${index}: ${JSON.stringify(template.slice(0, 70))}`, () => {
      const options = { name: 't', missingKey };
      if (output !== undefined) {
        assert.equal(renderTemplate(template, conformance.data[data], options), output);
        return;
      }
      const sentence = faultOf(() => renderTemplate(template, conformance.data[data], options));
      assert.ok(sentence.startsWith(`t:${line}:`), `${sentence} is not on line ${line}`);
      assert.ok(sentence.includes(error), `${sentence} does not say ${error}`);
    });
  }

  it('covers at least 300 templates', () => {
    assert.ok(conformance.cases.length >= 300);
  });
});

describe('faults', () => {
  it('name the template, line and column, counted from 1, and the fix', () => {
    const source = 'tasks:\n  - disk: {{ index .Hardware.Dissk 0 }}\n';
    const fault = errorOf(() => renderTemplate(source, { Hardware: { Disks: ['/dev/sda'] } }, { name: 'ubuntu' }));

    assert.equal(
      fault.message,
      'ubuntu:2:20: executing "ubuntu" at <.Hardware.Dissk>: map has no entry for key "Dissk"; did you mean "Disks"?',
    );
    assert.deepEqual(
      fault.problems.map(({ file, line, column }) => ({ file, line, column })),
      [{ file: 'ubuntu', line: 2, column: 20 }],
    );
  });

  it('suggest the function that was meant', () => {
    assert.match(
      faultOf(() => parseTemplate('\n{{ formatPartion .d 1 }}', { name: 't' })),
      /^t:2:4: .*did you mean "formatPartition"\?$/,
    );
    assert.match(
      faultOf(() => renderTemplate('{{ $disk := 1 }}{{ $dsk }}', {})),
      /did you mean \$disk\?$/,
    );
  });

  it('say how an int64 becomes an int', () => {
    assert.match(
      faultOf(() => renderTemplate('{{ formatPartition "/dev/sda" (add 1 1) }}', {})),
      /expected int; got int64: put \(int/,
    );
  });

  it('come at parsing, before any data is there, where the text alone is wrong', () => {
    for (const source of ['{{ if .x }}', '{{ nosuch }}', '{{ $x }}', '{{ "open }}', '{{ end }}', '{{ 1i }}']) {
      assert.equal(errorOf(() => parseTemplate(source, { name: 't' })).code, 'invalid_template');
    }
  });

  it('explain every function that is refused, but only when it is called', () => {
    for (const [name, reason] of REFUSED_FUNCTIONS) {
      const source = `{{ if .isCalled }}{{ ${name} "a" }}{{ end }}`;
      assert.equal(renderTemplate(source, { isCalled: false }), '');
      assert.ok(
        faultOf(() => renderTemplate(source, { isCalled: true })).endsWith(`${name} is not available: ${reason}`),
      );
    }
  });
});

describe('what a template cannot do', () => {
  const endless: Readonly<Record<string, string>> = {
    'loop for ever': '{{ range 1000000000000 }}{{ end }}',
    'loop in loops': '{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}',
    'double a text': '{{ $s := "xx" }}{{ range 60 }}{{ $s = print $s $s }}{{ end }}',
    'double a list': '{{ $l := list 1 }}{{ range 60 }}{{ $l = list $l $l }}{{ end }}{{ $l }}',
    'contain itself': '{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}',
    'join what contains itself': '{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ toYaml $d }}',
    'compare what contains itself': '{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ has $d (list $d 1) }}',
    'copy what contains itself': '{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ deepCopy $d }}',
    'repeat too much': '{{ repeat 1000000000 "x" }}',
    'count too far': '{{ until 1000000000 }}',
    'count in no steps': '{{ untilStep 0 9007199254740991 1 }}',
    'indent too far': '{{ indent 100000000 "x" }}',
    'replace by too much': '{{ replace "" (repeat 100000 "y") (repeat 10000 "x") }}',
    'print too wide': '{{ $f := repeat 100 "%900000d" }}{{ printf $f 1 }}',
    'join one long text often':
      '{{ $s := repeat 1000000 "x" }}{{ $l := list }}{{ range 100 }}{{ $l = append $l $s }}{{ end }}{{ join "" $l }}',
    'write too much':
      '{{ range 3000 }}0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789{{ end }}',
    'call itself for ever': '{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}',
    'call itself twice for ever':
      '{{ define "a" }}{{ template "a" . }}{{ template "a" . }}{{ end }}{{ template "a" . }}',
    'nest a regular expression':
      '{{ regexMatch "((a{100}){100}){100}" "a" | ternary "y" (mustRegexMatch "((a{100}){100}){100}" "a") }}',
    'laugh a billion times in YAML':
      '{{ fromYaml "a: &a [x,x,x,x,x,x,x,x,x]\\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]" | dig "Error" "" | fail }}',
  };
  for (const [what, source] of Object.entries(endless)) {
    it(what, () => {
      assert.equal(errorOf(() => renderTemplate(source, {})).code, 'invalid_template');
    });
  }

  it('hang on a regular expression that makes others hang', () => {
    const text = `${'a'.repeat(2000)}!`;

    assert.equal(
      renderTemplate('{{ regexMatch "^(a+)+$" . }}|{{ regexMatch "(a|a)*b" . }}|{{ regexMatch "(a*)*b" . }}', text),
      'false|false|false',
    );
  });

  it('reach anything that is inherited', () => {
    for (const key of ['__proto__', 'constructor', 'toString', 'valueOf', 'hasOwnProperty', '__defineGetter__']) {
      assert.match(
        faultOf(() => renderTemplate(`{{ .${key} }}`, { a: 1 })),
        /map has no entry for key/,
      );
      assert.equal(renderTemplate(`{{ hasKey . "${key}" }}{{ get . "${key}" }}`, { a: 1 }), 'false');
      assert.match(
        faultOf(() => renderTemplate(`{{ ${key} }}`, {})),
        /function .* not defined|wrong number of args for toString/,
      );
    }
  });

  it('change the prototype of all objects', () => {
    renderTemplate(
      '{{ $d := dict }}{{ $_ := set $d "__proto__" (dict "bad" 1) }}{{ $_ := merge $d (fromJson .) }}{{ $_ := mergeOverwrite $d (fromYaml .) }}',
      '{"__proto__":{"bad":1},"constructor":{"prototype":{"bad":1}}}',
    );

    assert.equal(Object.hasOwn(Object.prototype, 'bad'), false);
  });

  it('change the data that it was given', () => {
    const data = { m: { a: 1 } };

    assert.equal(renderTemplate('{{ $_ := set .m "a" 2 }}{{ .m.a }}', data), '2');
    assert.deepEqual(data, { m: { a: 1 } });
  });

  it('take longer than the clock allows', () => {
    let now = 0;
    const clock = (): number => (now += 50);
    const fault = errorOf(() => renderTemplate('{{ range 900000 }}{{ end }}', {}, { clock, timeoutMs: 100 }));

    assert.match(fault.message, /longer than 100 ms/);
  });

  it('survive nesting that would use up the stack', () => {
    for (const source of [
      '{{ if true }}'.repeat(5000),
      `{{ ${'('.repeat(5000)}1${')'.repeat(5000)} }}`,
      '{{ if .x }}a{{ else }}'.repeat(3000),
      `{{ if false }}${'{{ else if false }}'.repeat(3000)}{{ end }}`,
      `{{ mustRegexMatch "${'('.repeat(5000)}" "" }}`,
      `{{ mustFromJson (cat (repeat 5000 "[") (repeat 5000 "]")) }}`,
    ]) {
      assert.equal(errorOf(() => renderTemplate(source, { x: false })).code, 'invalid_template');
    }
  });
});

describe('fromYaml', () => {
  it('refuses nesting that would end the process, as the map that a fault is in Go', () => {
    const deep = '{{ (fromYaml (printf "a: %s%s" (repeat 100000 "[") (repeat 100000 "]"))).Error }}';

    assert.match(renderTemplate(deep, {}), /nested deeper than 64 levels/);
  });
});

describe('values', () => {
  it('take whole numbers for int and all others for float64', () => {
    const data = JSON.parse('{"a": 3, "b": 3.5, "c": 9007199254740993}') as unknown;

    assert.equal(
      renderTemplate('{{ printf "%T %T %d" .a .b .a }} {{ eq .a 3 }} {{ gt .a 2 }}', data),
      'int float64 3 true true',
    );
  });

  it('refuse data that contains itself', () => {
    const loop: Record<string, unknown> = {};
    loop['self'] = loop;

    assert.equal(errorOf(() => renderTemplate('x', loop)).code, 'invalid_template');
  });

  it('parse once and render often, with nothing kept between', () => {
    const template = parseTemplate('{{ $x := .n }}{{ $x = add $x 1 }}{{ $x }}', { name: 't' });

    assert.deepEqual(
      [1, 2, 1].map((n) => renderTemplate(template, { n })),
      ['2', '3', '2'],
    );
  });
});

function errorOf(run: () => unknown): TinsmithError {
  try {
    run();
  } catch (thrown) {
    assert.ok(thrown instanceof TinsmithError, String(thrown));
    assert.equal(thrown.code, 'invalid_template');
    return thrown;
  }
  return assert.fail('it did not fail');
}

function faultOf(run: () => unknown): string {
  return errorOf(run).message;
}
