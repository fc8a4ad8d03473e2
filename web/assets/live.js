// Replaces the sections of a page that have changed, also when another part of a long list is asked for, and shows times as
// ages. Without it the page is the same, stays as it was when it was opened, and its links open pages.
"use strict";
(() => {
  const status = document.getElementById("live");
  // The most characters that are kept of a log.
  const KEPT = 500_000;

  const length = (seconds) => {
    if (seconds < 120) return `${seconds}s`;
    if (seconds < 7200) return `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, "0")}s`;
    return `${Math.floor(seconds / 3600)}h${String(Math.floor(seconds / 60) % 60).padStart(2, "0")}m`;
  };
  const age = (seconds) => {
    if (seconds < 120) return `${seconds}s ago`;
    if (seconds < 7200) return `${Math.floor(seconds / 60)}m ago`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)}h ago`;
    return `${Math.floor(seconds / 86400)}d ago`;
  };
  const since = (text) => Math.max(0, Math.floor((Date.now() - Date.parse(text)) / 1000));
  const write = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  const tick = () => {
    for (const time of document.querySelectorAll("time[data-age]")) write(time, age(since(time.dateTime)));
    for (const span of document.querySelectorAll("[data-since]")) write(span, length(since(span.dataset.since)));
  };

  const isAtEnd = (box) => box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
  const toEnd = (box) => { box.scrollTop = box.scrollHeight; };

  const swap = ({ id, version, html }) => {
    const old = document.getElementById(id);
    if (!old || old.dataset.v === version) return;
    // What the viewer has focused, opened and scrolled stays so.
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...old.querySelectorAll("details[open][id]")].map((details) => details.id);
    const boxes = [...old.querySelectorAll("[tabindex][id]")].filter((box) => !box.matches("pre.log") || !isAtEnd(box));
    const scrolled = boxes.map((box) => [box.id, box.scrollLeft, box.scrollTop]);
    const template = document.createElement("template");
    template.innerHTML = html;
    old.replaceWith(template.content);
    for (const name of open) document.getElementById(name)?.setAttribute("open", "");
    for (const box of document.querySelectorAll(`#${id} pre.log`)) toEnd(box);
    for (const [name, left, top] of scrolled) document.getElementById(name)?.scrollTo(left, top);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const log = ({ place, text, isStart }) => {
    const box = document.getElementById(`log-${place}`);
    if (!box) return;
    const follows = isAtEnd(box);
    if (isStart || !box.firstChild) box.textContent = text;
    else box.firstChild.appendData(text);
    const printed = box.firstChild;
    if (printed?.length > KEPT) {
      const start = printed.length - KEPT;
      const line = printed.data.indexOf("\n", start) + 1;
      printed.deleteData(0, line || start);
    }
    if (follows) toEnd(box);
  };

  let source;
  const say = (text, state) => {
    if (!status) return;
    status.textContent = text;
    status.dataset.state = state;
  };
  const connect = () => {
    source = new EventSource(document.body.dataset.live);
    source.addEventListener("page", (event) => {
      const { title, sections } = JSON.parse(event.data);
      document.title = title;
      sections.forEach(swap);
      tick();
      say("live", "on");
    });
    source.addEventListener("problem", (event) => say(JSON.parse(event.data).message, "off"));
    source.addEventListener("log", (event) => log(JSON.parse(event.data)));
    source.addEventListener("error", () => say("reconnecting", "off"));
  };
  // A page that nobody sees asks for nothing; and a browser has only six connections to a server.
  const show = () => {
    source?.close();
    if (!document.hidden) connect();
  };

  const list = () => location.pathname + location.search;
  let shown = list();
  // Another part of the same list: only what differs is replaced, so that it is there at once.
  let asked = 0;
  const turn = async (href) => {
    asked += 1;
    const turned = asked;
    const answer = await fetch(href).catch(() => undefined);
    const text = answer?.ok ? await answer.text().catch(() => undefined) : undefined;
    if (turned !== asked) return false;
    if (text === undefined) {
      location.assign(href);
      return false;
    }
    const page = new DOMParser().parseFromString(text, "text/html");
    const live = page.body.dataset.live;
    // It is no page of a list, such as one that asks who is there.
    if (!live) {
      location.assign(href);
      return false;
    }
    // What it reports is of the list that was shown.
    source?.close();
    document.title = page.title;
    document.body.dataset.live = live;
    for (const section of page.querySelectorAll("main section[data-v]")) {
      swap({ id: section.id, version: section.dataset.v, html: section.outerHTML });
    }
    document.querySelector("main > .notice")?.remove();
    tick();
    // After the frame that shows it.
    requestAnimationFrame(() => setTimeout(show));
    return true;
  };
  const isPlain = (event) => event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("nav.pager a, nav.chips a");
    if (!link || link.origin !== location.origin || link.pathname !== location.pathname || !isPlain(event)) return;
    event.preventDefault();
    if (!(await turn(link.href))) return;
    history.pushState(null, "", link.href);
    shown = list();
  });
  // A link to a place in this page is no other list: it is not asked for again.
  addEventListener("popstate", () => {
    if (list() === shown) return;
    shown = list();
    turn(location.href);
  });

  tick();
  setInterval(tick, 1000);
  document.querySelectorAll("pre.log").forEach(toEnd);
  if (document.body.dataset.live) {
    document.addEventListener("visibilitychange", show);
    show();
  }
})();
