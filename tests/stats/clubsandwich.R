# The expected numbers of clubsandwich.json, by the R package clubSandwich (0.5.8, of the authors of Pustejovsky & Tipton
# 2018): Rscript clubsandwich.R, in this folder (Debian: r-cran-clubsandwich, r-cran-jsonlite).
library(clubSandwich)
library(jsonlite)

expected <- function(case) {
  fit <- lm(case$response ~ 0 + case$design)
  found <- coef_test(fit, vcov = "CR2", cluster = case$clusters, test = "Satterthwaite")
  case$value <- I(found$beta)
  case$standard_error <- I(found$SE)
  case$df <- I(found$df_Satt)
  case$p_two_sided <- I(found$p_Satt)
  case
}

cases <- fromJSON("clubsandwich.json", simplifyDataFrame = FALSE)
lines <- sapply(cases, function(case) toJSON(expected(case), digits = 12, auto_unbox = TRUE))
writeLines(c("[", paste0(lines, c(rep(",", length(lines) - 1), "")), "]"), "clubsandwich.json")
