// SPDX-License-Identifier: Apache-2.0
// Runs behind acorn.js in a sandbox of the engine's own: rewrites a driver's source so that it notes which of its lines were
// reached. Lines keep their numbers. Statements get `$c[n]=1;` before them, where n stands for a line; a lone statement below
// if, else or a loop gets braces around it, and an arrow function's expression a comma before it. A driver of the engine:
// decodeUplink({source}) gives {code, lines}, or {error, line, column} where the text is no script.

var acorn = exports;

// Statements that do nothing when they are reached, or whose own place cannot take another statement.
var silent = { FunctionDeclaration: 1, EmptyStatement: 1, BlockStatement: 1, LabeledStatement: 1 };

function walker(source, counter) {
  var inserted = [];  // [offset, order, text]
  var lines = [], indexes = {};

  function index(line) {
    if (!(line in indexes)) {
      indexes[line] = lines.length;
      lines.push(line);
    }
    return indexes[line];
  }
  function insert(offset, text) { inserted.push([offset, inserted.length, text]); }
  function mark(node) { return counter + '[' + index(node.loc.start.line) + ']=1'; }

  function counts(node) {
    if (silent[node.type] || node.directive !== undefined) return false;
    if (node.type !== 'VariableDeclaration') return true;
    return node.declarations.some(function (d) { return d.init !== null; });
  }

  // A list of statements.
  function list(statements) {
    statements.forEach(function (node) {
      if (counts(node)) insert(node.start, mark(node) + ';');
      walk(node);
    });
  }
  // The body of if, else, a loop or with: one statement.
  function lone(node) {
    if (!node) return;
    if (!counts(node)) return walk(node);
    insert(node.start, '{' + mark(node) + ';');
    walk(node);
    insert(node.end, '}');
  }

  function walk(node) {
    switch (node.type) {
      case 'Program': case 'BlockStatement': case 'StaticBlock':
        return list(node.body);
      case 'SwitchStatement':
        walk(node.discriminant);
        return node.cases.forEach(function (one) {
          if (one.test) walk(one.test);
          list(one.consequent);
        });
      case 'IfStatement':
        return branch(node, false);
      case 'ForStatement': case 'ForInStatement': case 'ForOfStatement': case 'WhileStatement': case 'DoWhileStatement':
      case 'WithStatement':
        return children(node, function (child, key) { if (key === 'body') lone(child); else walk(child); });
      case 'LabeledStatement':
        return walk(node.body);
      case 'ArrowFunctionExpression':
        node.params.forEach(walk);
        if (node.body.type === 'BlockStatement') return walk(node.body);
        insert(arrowEnd(node), '(' + mark(node.body) + ',');
        walk(node.body);
        return insert(node.end, ')');
      default:
        return children(node, walk);
    }
  }

  // `else if` stays together, since braces would nest deep in long chains: its condition takes the mark.
  function branch(node, isElse) {
    if (isElse) insert(node.test.start, '(' + mark(node) + ',');
    walk(node.test);
    if (isElse) insert(node.test.end, ')');
    lone(node.consequent);
    if (node.alternate && node.alternate.type === 'IfStatement') branch(node.alternate, true);
    else lone(node.alternate);
  }

  function children(node, visit) {
    Object.keys(node).forEach(function (key) {
      var value = node[key];
      if (key === 'loc' || key === 'type' || value === null || typeof value !== 'object') return;
      if (Array.isArray(value)) value.forEach(function (one) { if (one && typeof one.type === 'string') visit(one, key); });
      else if (typeof value.type === 'string') visit(value, key);
    });
  }

  // Where the body of an arrow function begins, its parentheses included: behind the arrow.
  function arrowEnd(node) {
    var from = node.params.length === 0 ? node.start : node.params[node.params.length - 1].end;
    var tokens = acorn.tokenizer(source.slice(from, node.body.end), { ecmaVersion: 'latest' });
    for (;;) {
      var token = tokens.getToken();
      if (token.type === acorn.tokTypes.arrow) return from + token.end;
      if (token.type === acorn.tokTypes.eof) throw new Error('an arrow function without an arrow');
    }
  }

  return {
    list: list,
    lines: lines,
    text: function () {
      inserted.sort(function (a, b) { return a[0] - b[0] || a[1] - b[1]; });
      var out = [], from = 0;
      inserted.forEach(function (one) {
        out.push(source.slice(from, one[0]), one[2]);
        from = one[0];
      });
      out.push(source.slice(from));
      return out.join('');
    }
  };
}

// What is put before the driver's first statement: the counters, and the engine's console for the report, while the driver's
// own lines are dropped so that they do not use up the room for it.
function prologue(counter, count) {
  return 'var ' + counter + '=[];(function(c,log,h){for(var i=0;i<' + count + ';i++)c[i]=0;' +
    'var o=globalThis.console;for(var k in o)if(typeof o[k]==="function")o[k]=function(){};' +
    'c.tell=function(){for(var s="",i=0;i<c.length;i+=4)s+=h[c[i]|c[i+1]<<1|c[i+2]<<2|c[i+3]<<3];log("' + marker + '"+s);};' +
    '})(' + counter + ',globalThis.console.log,"0123456789abcdef");';
}
var marker = 'sluice-coverage ';

// What is put behind the driver: its functions, wherever the engine looks for them, are replaced by ones that report.
function epilogue(counter, names) {
  var wrapped = names.map(function (name) {
    return 'try{if(typeof ' + name + '==="function")' + name + '=' + counter + '.wrap(' + name + ');}catch(e){}';
  });
  return '\n;(function(c){var depth=0;' +
    'c.wrap=function(f,self){return function(){depth++;' +
    'try{return f.apply(self===undefined?this:self,arguments);}finally{if(--depth===0)c.tell();}};};' +
    'c.holder=function(o){if(o===null||(typeof o!=="object"&&typeof o!=="function"))return o;' +
    'var out=Object.create(o);' + JSON.stringify(names) + '.forEach(function(n){' +
    'if(typeof o[n]==="function")Object.defineProperty(out,n,{value:c.wrap(o[n],o),enumerable:true});});' +
    'if(o.driver!==null&&typeof o.driver==="object")Object.defineProperty(out,"driver",{value:c.holder(o.driver),enumerable:true});' +
    'return out;};})(' + counter + ');' +
    'try{if(typeof driver!=="undefined")driver=' + counter + '.holder(driver);}catch(e){}' +
    'try{if(typeof module==="object"&&module.exports!==exports)module.exports=' + counter + '.holder(module.exports);}catch(e){}' +
    'try{if(typeof exports==="object")exports=' + counter + '.holder(exports);}catch(e){}' +
    wrapped.join('');
}

var names = ['decodeUplink', 'decodeDownlink', 'encodeDownlink', 'extractPoints', 'Decoder', 'Encoder', 'Decode', 'Encode'];

// What is declared with const at top level could not be replaced by the epilogue.
function loosenConstants(program, source) {
  program.body.forEach(function (node) {
    if (node.type !== 'VariableDeclaration' || node.kind !== 'const') return;
    source = source.slice(0, node.start) + 'let  ' + source.slice(node.start + 5);
  });
  return source;
}

function decodeUplink(input) {
  var source = input.source, counter = '$c';
  while (source.indexOf(counter) >= 0) counter += '$';
  var program;
  try {
    program = acorn.parse(source, { ecmaVersion: 'latest', sourceType: 'script', locations: true });
  } catch (e) {
    if (!(e instanceof SyntaxError) || !e.loc) throw e;
    return { data: { error: e.message.replace(/ \(\d+:\d+\)$/, ''), line: e.loc.line, column: e.loc.column + 1 } };
  }
  var walk = walker(loosenConstants(program, source), counter);
  var first = program.body.findIndex(function (node) { return node.directive === undefined; });
  // Everything is inserted behind the directives, so this offset is the same in the new text.
  var start = first < 0 ? program.end : program.body[first].start;
  walk.list(program.body);
  var text = walk.text();
  var code = text.slice(0, start) + ';' + prologue(counter, walk.lines.length) + text.slice(start) + epilogue(counter, names);
  return { data: { code: code, lines: walk.lines } };
}
