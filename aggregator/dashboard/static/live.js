"use strict";
// Shows what is new without a reload: what is open, in focus and in view stays so.
(() => {
  const status = document.getElementById("status");
  const news = new EventSource(document.body.dataset.top + "/news");
  let busy = false, again = false;

  function say(text) { if (status.textContent !== text) status.textContent = text; }

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.pathname, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = document.querySelector("main"), then = page.querySelector("main");
      const open = [...now.querySelectorAll("details")].map((one) => one.open);
      [...then.querySelectorAll("details")].forEach((one, at) => { if (at in open) one.open = open[at]; });
      const focus = document.activeElement && document.activeElement.getAttribute("aria-label");
      now.replaceWith(then);
      if (focus) {
        const same = [...then.querySelectorAll("[aria-label]")].find((one) => one.getAttribute("aria-label") === focus);
        if (same) same.focus({ preventScroll: true });
      }
      say("Live");
    } catch {
      say("Not connected: what stands here may be old");
    }
    busy = false;
    if (again) { again = false; refresh(); }
  }

  let lost = false;
  news.onmessage = refresh;
  news.onopen = () => { say("Live"); if (lost) { lost = false; refresh(); } };
  news.onerror = () => { lost = true; say("Not connected: what stands here may be old"); };
})();
