// Light or dark: the system's choice unless the URL says otherwise.
import { useEffect, useMemo } from "react";
import { createTheme, type Theme } from "@grafana/data";

export type Mode = "light" | "dark";

export const modeOf = (url: URLSearchParams): Mode => {
  const chosen = url.get("theme");
  if (chosen === "light" || chosen === "dark") return chosen;
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
};

export function useTheme(mode: Mode): Theme {
  const theme = useMemo(() => createTheme({ colors: { mode } }), [mode]);
  useEffect(() => {
    const { background, border, text } = theme.colors;
    const root = document.documentElement;
    root.dataset.theme = mode;
    root.style.setProperty("--bg", background.canvas);
    root.style.setProperty("--panel", background.primary);
    root.style.setProperty("--field", background.secondary);
    root.style.setProperty("--text", text.primary);
    root.style.setProperty("--faint", text.secondary);
    root.style.setProperty("--line", border.weak);
  }, [theme, mode]);
  return theme;
}
