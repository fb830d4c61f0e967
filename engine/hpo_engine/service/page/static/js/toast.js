// Messages in the corner. They go by themselves, unless something went wrong.

export function toast(text, bad = false) {
  const box = document.createElement("div"), words = document.createElement("span"), close = document.createElement("button");
  box.className = bad ? "toast bad" : "toast";
  words.textContent = text;
  close.type = "button";
  close.textContent = "×";
  close.setAttribute("aria-label", "Dismiss");
  close.addEventListener("click", () => box.remove());
  box.append(words, close);
  document.getElementById("toasts").append(box);
  if (!bad) setTimeout(() => box.remove(), 5000);
}
