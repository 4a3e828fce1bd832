"use strict";
(() => {
  const ROW = 58, MORE = 6;
  const byId = (id) => document.getElementById(id);
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  function themeButton() {
    const root = document.documentElement;
    const store = { get: () => null, set: () => {} };
    try {
      const saved = window.localStorage;
      store.get = () => saved.getItem("concord-theme");
      store.set = (name) => saved.setItem("concord-theme", name);
    } catch { /* storage is refused: the choice lasts until the page is closed */ }
    const chosen = store.get();
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
    byId("theme").addEventListener("click", () => {
      const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
      store.set(root.dataset.theme);
    });
  }

  async function drawCharts() {
    const { shared, charts } = JSON.parse(byId("charts").textContent);
    for (const node of document.querySelectorAll("[data-chart]")) {
      const view = { actions: false, renderer: "svg", ast: true };
      const description = node.getAttribute("aria-label");
      await vegaEmbed(node, { ...structuredClone(shared), ...charts[node.dataset.chart], description }, view);
      await new Promise((next) => setTimeout(next));
    }
    document.documentElement.dataset.charts = "drawn";
  }

  // Words and dashes that explain themselves: pointed at, focused, or tapped once.
  function explanations() {
    const box = make("div");
    box.id = "explanation";
    box.setAttribute("role", "tooltip");
    box.hidden = true;
    document.body.append(box);
    let owner = null, tapped = null;
    const of = (target) => (target instanceof Element ? target.closest(".term, .gap") : null);
    const hide = () => {
      if (owner) owner.removeAttribute("aria-describedby");
      owner = null;
      box.hidden = true;
    };
    const show = (node) => {
      if (owner === node) return;
      hide();
      const entry = node.hash ? byId(node.getAttribute("href").slice(1)) : null;
      box.replaceChildren(...(entry ? [...entry.children].map((part) => part.cloneNode(true)) : [make("p", "", node.getAttribute("aria-label"))]));
      box.hidden = false;
      const place = node.getBoundingClientRect(), room = document.documentElement.clientWidth - box.offsetWidth - 12;
      const above = place.top - box.offsetHeight - 8;
      box.style.left = `${scrollX + Math.max(12, Math.min(place.left, room))}px`;
      box.style.top = `${scrollY + (above > 60 ? above : place.bottom + 8)}px`;
      owner = node;
      if (entry) node.setAttribute("aria-describedby", box.id);
    };
    document.addEventListener("pointerover", (event) => {
      const node = of(event.target);
      if (event.pointerType !== "touch" && node) show(node);
      else if (owner && !box.contains(event.target) && document.activeElement !== owner) hide();
    });
    document.addEventListener("focusin", (event) => (of(event.target) ? show(of(event.target)) : hide()));
    document.addEventListener("focusout", hide);
    document.addEventListener("pointerdown", (event) => {
      const node = of(event.target);
      tapped = event.pointerType === "touch" && node !== owner ? node : null;
      if (!node) hide();
    });
    document.addEventListener("click", (event) => {
      if (!tapped || of(event.target) !== tapped) return;
      event.preventDefault();
      show(tapped);
    });
    addEventListener("keydown", (event) => event.key === "Escape" && hide());
  }

  // What stands beside a verdict belongs on paper, and what words mean; long tables do not.
  function printing() {
    let folded = [];
    addEventListener("beforeprint", () => {
      folded = [...document.querySelectorAll("details:is(.inline, .measures):not([open])")];
      folded.forEach((note) => { note.open = true; });
    });
    addEventListener("afterprint", () => folded.forEach((note) => { note.open = false; }));
  }

  // A link to a measure opens the group in which it stands.
  function unfolding() {
    const unfold = () => {
      const place = document.querySelector(":target");
      const group = place && place.closest("details");
      if (!group || group.open) return;
      group.open = true;
      place.scrollIntoView();
    };
    addEventListener("hashchange", unfold);
    unfold();
  }

  const KINDS = ["now agrees", "no longer agrees", "agrees on a new answer", "other wordings changed", "one wording"];
  const URGENCY = [1, 0, 2, 3, 4];
  const KIND_LOOK = ["good", "bad", "plain", "plain", "plain"];
  const RIGHT = ["", "now all right", "no longer all right"];
  const SETS = { study: "own (study)", same: "the base's", chat: "chat format" };
  const MARGINS = [["", "any"], ["floor", "within twice the noise"], ["clear", "beyond twice the noise"], ["0.1", "above 0.1 nats"], ["0.5", "above 0.5 nats"], ["1", "above 1 nat"]];

  function flipBrowser(data) {
    const { words, facts, flips } = data;
    const list = byId("flip-list"), rows = byId("flip-rows"), space = byId("flip-space");
    const control = {};
    for (const name of ["search", "model", "relation", "kind", "right", "set", "margin"]) control[name] = byId(`flip-${name}`);
    const options = (select, pairs) => {
      for (const [value, text] of pairs) {
        const option = make("option", "", text);
        option.value = value;
        select.append(option);
      }
    };
    const numbered = (names) => names.map((name, index) => [String(index), name]);
    const relations = [...new Set(facts.map((fact) => fact[0]))].sort((a, b) => words[a].localeCompare(words[b], "en", { numeric: true }));
    options(control.model, [["", "all"], ...numbered(data.models)]);
    options(control.relation, [["", "all"], ...relations.map((word) => [String(word), words[word]])]);
    options(control.kind, [["", "all"], ...numbered(KINDS)]);
    options(control.right, [["", "all"], ["1", RIGHT[1]], ["2", RIGHT[2]], ["0", "as before"]]);
    options(control.set, [["", "all"], ...numbered(data.sets.map((name) => SETS[name] || name))]);
    const isNoiseKnown = flips.some((flip) => flip[7] >= 0);
    options(control.margin, MARGINS.filter(([name]) => isNoiseKnown || !["floor", "clear"].includes(name)));
    control.set.value = "0";
    const order = flips.map((_, index) => index).sort((a, b) => URGENCY[flips[a][4]] - URGENCY[flips[b][4]] || flips[b][6] - flips[a][6] || a - b);
    const texts = new Array(flips.length);
    let found = order, chosen = 0;

    function answers(flip) {
      const before = facts[flip[0]][3][flip[3]], wordings = [];
      for (let at = 0; at < before.length; at += 3) wordings.push({ template: before[at], base: before[at + 1], tuned: before[at + 1], text: before[at + 2] });
      const places = new Map(wordings.map((one) => [one.template, one]));
      for (let at = 8; at < flip.length; at += 4) Object.assign(places.get(flip[at]), { tuned: flip[at + 1], baseMargin: flip[at + 2], tunedMargin: flip[at + 3], flipped: true });
      return wordings;
    }
    function tally(wordings, side) {
      const times = new Map();
      for (const one of wordings) times.set(one[side], (times.get(one[side]) || 0) + 1);
      return [...times].sort((a, b) => b[1] - a[1]).map(([word, many]) => (times.size > 1 ? `${words[word]} ×${many}` : words[word])).join(", ");
    }
    function searchText(index) {
      if (texts[index] === undefined) {
        const flip = flips[index], fact = facts[flip[0]], parts = [words[fact[0]], words[fact[1]], words[fact[2]]];
        for (const one of answers(flip)) parts.push(words[one.base], words[one.tuned]);
        texts[index] = [...new Set(parts)].join("\n").toLowerCase();
      }
      return texts[index];
    }
    function keeps() {
      const text = control.search.value.trim().toLowerCase();
      const equal = [["model", 1], ["set", 2], ["kind", 4], ["right", 5]].filter(([name]) => control[name].value !== "").map(([name, at]) => [at, Number(control[name].value)]);
      const relation = control.relation.value, margin = control.margin.value;
      return (index) => {
        const flip = flips[index];
        if (equal.some(([at, wanted]) => flip[at] !== wanted)) return false;
        if (relation !== "" && facts[flip[0]][0] !== Number(relation)) return false;
        if (margin === "floor" && flip[7] !== 1) return false;
        if (margin === "clear" && flip[7] !== 0) return false;
        if (Number(margin) > 0 && flip[6] < 100 * Number(margin)) return false;
        return text === "" || searchText(index).includes(text);
      };
    }
    function rowOf(position) {
      const flip = flips[found[position]], fact = facts[flip[0]], wordings = answers(flip);
      const row = make("div", "row");
      row.id = `flip-${position}`;
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", String(position === chosen));
      row.setAttribute("aria-setsize", String(found.length));
      row.setAttribute("aria-posinset", String(position + 1));
      const first = make("div"), second = make("div", "quiet");
      const name = make("span", "name");
      name.append(make("strong", "", words[fact[1]]), ` → ${words[fact[2]]}`);
      first.append(name, make("span", `badge ${KIND_LOOK[flip[4]]}`, KINDS[flip[4]]));
      if (flip[5]) first.append(make("span", `badge ${flip[5] === 1 ? "good" : "bad"}`, RIGHT[flip[5]]));
      if (flip[7] === 1) first.append(make("span", "badge warn", "near tie"));
      second.textContent = `${words[fact[0]]} · ${data.models[flip[1]]} · ${tally(wordings, "base")} ⟶ ${tally(wordings, "tuned")}`;
      row.append(first, second);
      row.addEventListener("click", () => choose(position));
      return row;
    }
    function draw() {
      const first = Math.max(0, Math.floor(list.scrollTop / ROW) - MORE);
      const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + MORE);
      rows.style.transform = `translateY(${first * ROW}px)`;
      const shown = [];
      for (let position = first; position < last; position += 1) shown.push(rowOf(position));
      rows.replaceChildren(...shown);
      if (found.length) list.setAttribute("aria-activedescendant", `flip-${chosen}`);
      else list.removeAttribute("aria-activedescendant");
    }
    const nats = (hundredths) => (hundredths === undefined ? "" : hundredths < 0 ? "–" : (hundredths / 100).toFixed(2));
    function detail() {
      const place = byId("flip-detail");
      place.replaceChildren();
      if (!found.length) {
        place.append(make("p", "quiet", `No flip fits these filters. ${place.dataset.elsewhere || ""}`));
        return;
      }
      const flip = flips[found[chosen]], fact = facts[flip[0]];
      place.append(make("h3", "", words[fact[1]]));
      place.append(make("p", "quiet", `Right answer: ${words[fact[2]]}. Relation ${words[fact[0]]}; ${data.models[flip[1]]}; prompts: ${SETS[data.sets[flip[2]]] || data.sets[flip[2]]}, context ${flip[3]}; ${KINDS[flip[4]]}${RIGHT[flip[5]] ? `; ${RIGHT[flip[5]]}` : ""}.`));
      const table = make("table"), head = make("tr"), body = make("tbody"), top = make("thead");
      for (const name of ["wording", "base", data.models[flip[1]], "margins"]) {
        const cell = make("th", "", name);
        cell.scope = "col";
        head.append(cell);
      }
      top.append(head);
      for (const one of answers(flip)) {
        const row = make("tr", one.flipped ? "flipped" : "");
        const wording = make("th", "", words[one.text].split("[X]").join(words[fact[1]]));
        wording.scope = "row";
        const say = (word) => make("td", "", `${words[word]}${word === fact[2] ? " ✓" : ""}`);
        row.append(wording, say(one.base), one.flipped ? say(one.tuned) : make("td", "quiet", "same"), make("td", "", one.flipped ? `${nats(one.baseMargin)} ⟶ ${nats(one.tunedMargin)}` : ""));
        body.append(row);
      }
      table.append(top, body);
      place.append(table, make("p", "quiet", "Wordings as the base got them. ✓ is the right answer named above; margins in nats, base ⟶ tuned."));
    }
    function choose(position) {
      chosen = Math.max(0, Math.min(found.length - 1, position));
      const top = chosen * ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
      draw();
      detail();
    }
    function filter() {
      const keep = keeps();
      found = order.filter(keep);
      byId("flip-count").textContent = `${found.length.toLocaleString("en")} of ${flips.length.toLocaleString("en")} flips: what no longer agrees first, within a kind the widest margin first`;
      space.style.height = `${found.length * ROW}px`;
      list.scrollTop = 0;
      choose(0);
    }
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity };
    list.addEventListener("keydown", (event) => {
      if (!(event.key in moves) || !found.length) return;
      event.preventDefault();
      choose(chosen + moves[event.key]);
    });
    let isWaiting = false;
    const later = () => {
      if (isWaiting) return;
      isWaiting = true;
      requestAnimationFrame(() => { isWaiting = false; draw(); });
    };
    list.addEventListener("scroll", later);
    addEventListener("resize", later);
    for (const node of Object.values(control)) node.addEventListener("input", filter);
    document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
    byId("flip-browser").hidden = false;
    filter();
    return function prepareSearch(from = 0) {
      const to = Math.min(from + 500, flips.length);
      for (let index = from; index < to; index += 1) searchText(index);
      if (to < flips.length) setTimeout(() => prepareSearch(to));
    };
  }

  async function inflated(packed) {
    const bytes = Uint8Array.from(atob(packed), (sign) => sign.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  }

  // The blocks' columns as a list for each flip: what holds for it, then each changed wording.
  async function flipData() {
    const packed = JSON.parse(byId("flip-data").textContent);
    if (!packed || !byId("flip-browser")) return null;
    if (!("DecompressionStream" in window)) {
      byId("flip-missing").hidden = false;
      return null;
    }
    const data = { models: packed.models, sets: packed.sets, words: [], facts: [], flips: [] };
    for (const part of await Promise.all(packed.blocks.map(inflated))) {
      data.words = data.words.concat(part.words);
      data.facts = data.facts.concat(part.facts);
      let at = 0;
      part.counts.forEach((count, row) => {
        const flip = part.flips.map((column) => column[row]);
        for (const end = at + count; at < end; at += 1) for (const column of part.changes) flip.push(column[at]);
        data.flips.push(flip);
      });
    }
    return data;
  }

  async function start() {
    themeButton();
    explanations();
    printing();
    unfolding();
    const data = await flipData().catch((error) => {
      console.error(error);
      byId("flip-missing").hidden = false;
      return null;
    });
    const prepareSearch = data ? flipBrowser(data) : () => {};
    await drawCharts();
    prepareSearch();
  }

  start();
})();
